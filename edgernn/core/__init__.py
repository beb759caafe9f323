"""The integer contract: arithmetic, primitives, graph, quantizer, float net; nothing here knows what a net is for."""
