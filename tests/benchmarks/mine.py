"""A network as a user may have it, patches and blocks of attention, to be measured beside ours.

cd tests/benchmarks && nas measure efficientnetv2-s resnet50 mine:Net --input 3x128x128 --batch-size 8
"""

from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, tokens):
        normed = self.norm(tokens)
        tokens = tokens + self.attention(normed, normed, normed, need_weights=False)[0]
        return tokens + self.mlp(tokens)


class Net(nn.Module):
    def __init__(self, num_classes=1000):
        super().__init__()
        self.patches = nn.Sequential(nn.Conv2d(3, 256, 16, stride=16), nn.BatchNorm2d(256), nn.SiLU())
        self.blocks = nn.ModuleList(Block(256) for _ in range(6))
        self.classifier = nn.Linear(256, num_classes)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        return self.classifier(tokens.mean(1))
