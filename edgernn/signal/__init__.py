"""From samples to features and back: sound files, the integer FFT, and the two signal paths made of it."""
