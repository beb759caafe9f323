(model, box) => {
  let lasts = false;
  /* output: label (-1: nothing), score (Q15), steps since it fired, whether it is over */
  const step = ([label, score, age, over], posteriors, index) => {
    if (label < 0) return;
    const word = model.facts.labels[label];
    if (age === 0) box.say(word);
    lasts = !over;
    if (over) {
      box.tell(`${model.seconds(index - age).toFixed(2)} s: ${word}, score ${(score / 32768).toFixed(2)}`);
      box.say("");
    }
  };
  return {
    step,
    /* silence follows until what still lasts is over; what would fire only in it was not heard */
    end({ steps }) {
      model.pcm.fill(0);
      for (let index = steps; lasts; index++) {
        model.step();
        step(model.output, model.posteriors, index);
      }
    },
  };
}
