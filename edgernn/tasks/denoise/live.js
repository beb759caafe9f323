(model, box) => ({
  /* the stream comes out one step late */
  end({ pcm, outputs, samples }) {
    const hop = model.facts.step_samples;
    box.play("as it was", pcm.slice(0, samples));
    box.play("denoised", outputs.slice(hop, hop + samples));
  },
})
