"""Noise: what it is, how it is crafted, and how it is added to images. Plain PyTorch, no Ray."""
