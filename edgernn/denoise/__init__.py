"""Speech denoising on the same recurrent core: PCM in, cleaner PCM out.

`recipe`, `floatnet`, `model`, `train` make a float net; `quantize` makes a graph of it (`edgernn.graph.DenoiseGraph`);
`stream` runs it over sound, `evaluate` measures it, `firmware` builds and emulates it, `pipeline` has the verbs.
"""
