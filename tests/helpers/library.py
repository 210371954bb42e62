"""Small networks as a library would have them, for MODEL.FACTORY."""

from types import SimpleNamespace

import torch
from torch import nn


class VideoNet(nn.Module):
    """One convolution, a linear layer, in evaluation a softmax; N,C,T,H,W or N,T,C,H,W."""

    def __init__(self, num_classes=5, has_frames_first=False):
        super().__init__()
        self.has_frames_first = has_frames_first
        self.conv = nn.Conv3d(3, 4, 3, padding=1)
        self.fc = nn.Linear(4, num_classes)
        self.unused = nn.Linear(4, 4)
        self.act = nn.Softmax(-1)

    def forward(self, x):
        x = x.transpose(1, 2) if self.has_frames_first else x
        x = self.fc(self.conv(x).relu().mean((2, 3, 4)))
        return x if self.training else self.act(x)


class ImageNet(nn.Module):
    """A classifier of N,C,H,W that gives an object with logits."""

    def __init__(self, config):
        super().__init__()
        self.conv = nn.Conv2d(3, config.width, 3)
        self.classifier = nn.Conv2d(config.width, config.classes, 1)

    def forward(self, images):
        return SimpleNamespace(logits=self.classifier(self.conv(images).relu()).mean((2, 3)))


def make_config(width, classes):
    return SimpleNamespace(width=width, classes=classes)


class TwoPathways(nn.Module):
    """A linear layer on the mean colours of two clips."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 2)

    def forward(self, clips):
        return self.fc(torch.cat([clip.mean((2, 3, 4)) for clip in clips], 1))
