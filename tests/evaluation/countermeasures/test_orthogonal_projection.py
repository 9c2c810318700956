"""Orthogonal projection: a pattern a class, added to images that say nothing about their class."""

import numpy as np

from ue_ray.evaluation.countermeasures import parse
from ue_ray.evaluation.countermeasures.orthogonal_projection import linear_weights

SIDE, CLASSES, COUNT = 8, 3, 600
RANDOM = np.random.default_rng(0)
LABELS = np.arange(COUNT) % CLASSES
PATTERNS = RANDOM.choice([-1, 1], (CLASSES, SIDE, SIDE, 3))
PLAIN = RANDOM.normal(128, 12, (COUNT, SIDE, SIDE, 3))
IMAGES = (PLAIN + 12 * PATTERNS[LABELS]).round().clip(0, 255).astype(np.uint8)


def between_classes(images):
    """How far the classes' means lie apart along the patterns, in levels: 12 where the patterns are whole."""
    means = np.stack([images[label == LABELS].mean(0) for label in range(CLASSES)])
    means = means - means.mean(0)
    patterns = PATTERNS - PATTERNS.mean(0)
    return (means * patterns).sum() / (patterns**2).sum()


def test_the_weights_point_along_the_patterns():
    weights = linear_weights(IMAGES, LABELS).numpy()
    patterns = (PATTERNS - PATTERNS.mean(0)).reshape(CLASSES, -1)
    weights = weights - weights.mean(0)
    cosines = (weights * patterns).sum(1) / np.linalg.norm(weights, axis=1) / np.linalg.norm(patterns, axis=1)
    assert cosines.min() > 0.8


def test_a_pattern_a_class_is_taken_away_and_the_rest_stays():
    left = parse("orthogonal-projection").purify_all(IMAGES, LABELS)
    assert abs(between_classes(IMAGES) - 12) < 0.5
    assert abs(between_classes(left)) < 3
    kept = np.corrcoef((left - left.mean((1, 2, 3), keepdims=True)).ravel(), (PLAIN - 128).ravel())[0, 1]
    assert kept > 0.6


def test_what_is_left_is_orthogonal_to_the_weights():
    weights = linear_weights(IMAGES, LABELS).numpy()
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    left = parse("orthogonal-projection").purify_all(IMAGES, LABELS).reshape(COUNT, -1).astype(np.float64)
    assert np.abs(IMAGES.reshape(COUNT, -1) @ weights.T).mean() > 10
    assert np.abs(left @ weights.T).mean() < 1  # the rounding to 8 bits
