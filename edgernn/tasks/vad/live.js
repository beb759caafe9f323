(model, box) => {
  let begin = -1, total = 0;
  const over = (end) => {
    const mean = total / Math.max(1, end - begin) / 32768;
    box.tell(`${model.seconds(begin).toFixed(2)} to ${model.seconds(end).toFixed(2)} s: speech, confidence ${mean.toFixed(2)}`);
    box.say("");
    begin = -1;
  };
  return {
    step([active], [posterior], index) {
      if (begin >= 0 && !active) over(index);
      else if (begin < 0 && active) {
        [begin, total] = [index, 0];
        box.say("speech");
      }
      total += posterior;
    },
    end({ steps }) {
      if (begin >= 0) over(steps);
    },
  };
}
