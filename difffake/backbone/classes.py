"""The two classes of the network, by the index of their logit."""

REAL_CLASS = 0
FAKE_CLASS = 1
CLASSES = 2
