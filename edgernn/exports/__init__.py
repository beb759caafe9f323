"""Exports of a graph to other runtimes' file formats, one file a format; each must keep every bit."""
