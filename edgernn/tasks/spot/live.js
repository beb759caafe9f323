(model, box) => ({
  /* output: label (-1: nothing), score (Q15), steps since it fired, whether it is over */
  step([label, score, age, over], posteriors, index) {
    if (label < 0) return;
    const word = model.facts.labels[label];
    if (age === 0) box.say(word);
    if (over) {
      box.tell(`${model.seconds(index - age).toFixed(2)} s: ${word}, score ${(score / 32768).toFixed(2)}`);
      box.say("");
    }
  },
})
