"""200 training steps beside PyTorch: our composed layers and optimizers, its fused ones.

The two networks start from the same numbers and see the same mini-batches and masks, in float64.
After the last step, parameters, running statistics and what eval mode makes of them agree to
1e-10.  They can, because nothing here magnifies rounding: learning rates are small enough for a
start that is moved by 1e-13 to end less than 1e-11 away, though weights pushed by L1 change sign
all the time, and layers before a batch norm have no bias, the gradient of which would be rounding
and nothing else (the batch norm takes the bias out again).
"""

import numpy as np
import pytest

from tinygrad_reg import functional as F
from tinygrad_reg import nn, optim

torch = pytest.importorskip(
    "torch", reason='PyTorch is not installed: the oracle is silent; pip install -e ".[oracle]"'
)
TF = torch.nn.functional

EPOCHS, BATCHES, BATCH, FEATURES, CLASSES = 50, 4, 30, 8, 5
DROP, DISCONNECT, SMOOTHING = 0.3, 0.2, 0.1
L1, L2 = [0.004, 0.0, 0.002], [0.0, 0.02, 0.01]  # for each layer

OPTIMIZERS = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "weight_decay": 0.02}),
    ("SGD", {"lr": 0.02, "momentum": 0.9}),
    ("SGD", {"lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 0.02}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-4, "weight_decay": 0.02}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
]
SCHEDULES = [
    ("StepLR", {"step_size": EPOCHS, "gamma": 0.5}),  # constant until the last step
    ("StepLR", {"step_size": 15, "gamma": 0.5}),
    ("CosineAnnealingLR", {"T_max": EPOCHS, "eta_min": 0.001}),
]


class Network(nn.Module):
    def __init__(self, rng):
        how = {"rng": rng, "dtype": np.float64}
        self.first = nn.Linear(FEATURES, 16, bias=False, **how)
        self.first_norm = nn.BatchNorm1d(16, dtype=np.float64)
        self.second = nn.Linear(16, 12, bias=False, **how)
        self.second_norm = nn.BatchNorm1d(12, dtype=np.float64)
        self.last = nn.Linear(12, CLASSES, **how)

    def forward(self, x, dropped=None, disconnected=None):
        hidden = F.relu(self.first_norm(self.first(x)))
        hidden = F.dropout(hidden, DROP, self.training, mask=dropped)
        weight = F.dropconnect(self.second.weight, DISCONNECT, self.training, mask=disconnected)
        hidden = F.relu(self.second_norm(F.linear(hidden, weight)))
        return self.last(hidden)

    def loss(self, x, labels, dropped, disconnected):
        logits = self(x, dropped, disconnected)
        penalty = F.l1_penalty(self.weights(), L1) + F.l2_penalty(self.weights(), L2)
        return F.cross_entropy(logits, labels, label_smoothing=SMOOTHING) + penalty


class TorchNetwork:
    """The same network from the same state, in PyTorch's fused layers."""

    def __init__(self, model):
        trained = [name for name, _ in model.named_parameters()]
        self.state = {
            name: torch.tensor(array, requires_grad=name in trained)
            for name, array in model.state_dict().items()
        }
        self.parameters = [self.state[name] for name in trained]
        self.weights = [self.state[f"{name}.weight"] for name in ("first", "second", "last")]

    def norm(self, x, name, training):
        keys = "running_mean", "running_var", "weight", "bias"
        return TF.batch_norm(x, *(self.state[f"{name}.{key}"] for key in keys), training)

    def __call__(self, x, dropped=None, disconnected=None, training=False):
        first, second, last = self.weights
        hidden = TF.relu(self.norm(TF.linear(x, first.T), "first_norm", training))
        if training:
            hidden = hidden * dropped / (1 - DROP)
            second = second * disconnected / (1 - DISCONNECT)
        hidden = TF.relu(self.norm(TF.linear(hidden, second.T), "second_norm", training))
        return TF.linear(hidden, last.T, self.state["last.bias"])

    def loss(self, x, labels, dropped, disconnected):
        logits = self(x, dropped, disconnected, training=True)
        loss = TF.cross_entropy(logits, labels, label_smoothing=SMOOTHING)
        for weight, l1, l2 in zip(self.weights, L1, L2):
            loss = loss + l1 * weight.abs().sum() + l2 / 2 * weight.square().sum()
        return loss


def assert_close(what, ours, theirs):
    """Up to 1e-10 of the largest number."""
    theirs = np.asarray(theirs)
    tolerance = 1e-10 * abs(theirs).max()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance, err_msg=what)


@pytest.mark.parametrize(("schedule", "schedule_settings"), SCHEDULES)
@pytest.mark.parametrize(("name", "settings"), OPTIMIZERS)
def test_200_steps_are_those_of_pytorch(name, settings, schedule, schedule_settings):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCHES, BATCH, FEATURES))
    labels = (x @ rng.normal(size=(FEATURES, CLASSES))).argmax(-1)

    ours = Network(rng)
    theirs = TorchNetwork(ours)
    our_optimizer = getattr(optim, name)(ours.parameters(), **settings)
    their_optimizer = getattr(torch.optim, name)(theirs.parameters, **settings)
    our_schedule = getattr(optim, schedule)(our_optimizer, **schedule_settings)
    their_schedule = getattr(torch.optim.lr_scheduler, schedule)(
        their_optimizer, **schedule_settings
    )
    our_losses, their_losses = [], []
    for _ in range(EPOCHS):
        for batch in zip(x, labels):
            masks = rng.random((BATCH, 16)) >= DROP, rng.random((16, 12)) >= DISCONNECT
            loss = ours.loss(*batch, *masks)
            our_optimizer.zero_grad()
            loss.backward()
            our_optimizer.step()
            our_losses.append(loss.item())

            loss = theirs.loss(*map(torch.from_numpy, (*batch, *masks)))
            their_optimizer.zero_grad()
            loss.backward()
            their_optimizer.step()
            their_losses.append(loss.item())
        our_schedule.step()
        their_schedule.step()

    assert np.mean(our_losses[-20:]) < 0.9 * np.mean(our_losses[:20])  # it did learn
    assert_close("losses", our_losses, their_losses)
    for key, array in ours.state_dict().items():
        assert_close(key, array, theirs.state[key].detach())
    x = rng.normal(size=(50, FEATURES))
    assert_close("eval mode", ours.eval()(x).numpy(), theirs(torch.from_numpy(x)).detach())
