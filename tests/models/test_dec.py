"""Tests of DEC: soft assignments, target and gradients against the paper's formulas, and its stages."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import entropy
from torch.testing import assert_close


@pytest.fixture
def dec(make, seeded):
    """Return DEC in double precision with three centres apart, past pretraining."""
    model = make("dec", components=3, pretrain_epochs=0).double()
    with torch.no_grad():
        model.centres.normal_(generator=seeded(2))
        model.frequencies.copy_(torch.tensor([0.5, 0.3, 0.2]))
    return model


@pytest.fixture
def z(seeded):
    """Return latents: (7, 2)."""
    return torch.randn((7, 2), generator=seeded(3), dtype=torch.float64)


def soft_assignments(z, centres):
    """Equation 1, by loops."""
    q = np.array([[1 / (1 + ((a - m) ** 2).sum()) for m in centres] for a in z])
    return q / q.sum(1, keepdims=True)


def test_soft_assignments_are_students_t(dec, z):
    expected = soft_assignments(z.numpy(), dec.centres.detach().numpy())
    assert dec.log_posterior(z).exp().detach().numpy() == pytest.approx(expected)
    assert expected.std() > 0.1, "the centres must differ for the test to say anything"


def test_target_by_hand(dec):
    log_q = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]], dtype=torch.float64).log()
    # 0.36/0.5, 0.09/0.3, 0.01/0.2 and 0.04/0.5, 0.04/0.3, 0.36/0.2
    expected = np.array([[0.72, 0.30, 0.05], [0.08, 0.04 / 0.3, 1.8]])
    expected /= expected.sum(1, keepdims=True)
    assert dec.log_target(log_q).exp().numpy() == pytest.approx(expected)


def test_target_over_all_data_is_equation_3(dec, z):
    dec.refresh(z)
    q = soft_assignments(z.numpy(), dec.centres.detach().numpy())
    expected = q**2 / q.sum(0)
    expected /= expected.sum(1, keepdims=True)
    with torch.no_grad():
        found = dec.log_target(dec.log_posterior(z)).exp()
    assert found.numpy() == pytest.approx(expected)


def test_clustering_term_is_the_divergence_of_target_and_assignments(dec, z):
    with torch.no_grad():
        clustering, log_q = dec.clustering(z)
        p, q = dec.log_target(log_q).exp().numpy(), log_q.exp().numpy()
    assert clustering.item() == pytest.approx(entropy(p, q, axis=1).mean())


def test_gradients_are_equations_4_and_5(dec, z):
    z.requires_grad_()
    clustering, log_q = dec.clustering(z)
    d_z, d_centres = torch.autograd.grad(7 * clustering, (z, dec.centres))
    with torch.no_grad():
        p, q = dec.log_target(log_q).exp(), log_q.exp()
        difference = z[:, None] - dec.centres  # (7, 3, 2)
        pull = (p - q) / (1 + difference.square().sum(-1))
        assert_close(d_z, 2 * (pull[..., None] * difference).sum(1))
        assert_close(d_centres, -2 * (pull[..., None] * difference).sum(0))


def test_objective_is_the_clustering_and_leaves_the_decoder_alone(dec, seeded):
    x = torch.randn((5, 2), generator=seeded(4), dtype=torch.float64)
    objective, terms = dec.objective(x, seeded(0))
    (-objective).backward()
    assert objective.item() == -terms["clustering"].item()
    assert all(p.grad is None for p in dec.decoder.parameters())
    assert all(p.grad is not None for p in (*dec.encoder.parameters(), dec.centres))


def test_reconstruction_counts_as_much_as_it_is_told(dec, seeded):
    x = torch.randn((5, 2), generator=seeded(4), dtype=torch.float64)
    dec.set_live("reconstruction_weight", 0.3)
    objective, terms = dec.objective(x, seeded(0))
    (-objective).backward()
    assert_close(objective.detach(), 0.3 * terms["reconstruction"] - terms["clustering"])
    assert all(p.grad is not None for p in dec.decoder.parameters())


def test_components_describe_their_points(dec, seeded):
    z = torch.randn((300, 2), generator=seeded(6), dtype=torch.float64)
    dec.refresh(z)
    mixture = dec.components()
    nearest = torch.cdist(z, dec.centres.detach()).argmin(1)
    for c in range(3):
        own = z[nearest == c]
        assert_close(mixture.variances[c], (own - dec.centres[c].detach()).square().mean(0))
        assert mixture.weights[c].item() == pytest.approx(len(own) / 300)
    assert torch.equal(mixture.means, dec.centres)


def trained(make, seeded, arcs, epochs):
    """Return DEC after some epochs of four steps on 800 points of arcs, and its draws."""
    model = make("dec", components=4, pretrain_epochs=2)
    draws = seeded(1)
    model.prepare(arcs[:800], draws)
    model.make_optimizers()
    for epoch in range(1, epochs + 1):
        train_epoch(model, arcs, draws, epoch)
    return model, draws


def train_epoch(model, arcs, draws, epoch):
    for batch in arcs[:800].split(200):
        terms = model.training_step(batch, draws)
    model.end_epoch(epoch, arcs[:800], draws)
    return terms


def test_stages_switch_after_pretraining(make, seeded, arcs):
    model, draws = trained(make, seeded, arcs, 1)
    centres = model.centres.clone()
    terms = model.training_step(arcs[:200], draws)
    assert terms["objective"] == terms["reconstruction"]
    assert torch.equal(model.centres, centres), "only k-means moves the centres"
    model.end_epoch(2, arcs[:800], draws)
    assert not model.optimizer.state
    with torch.no_grad():
        nearest = torch.cdist(model.latents(arcs[:800]), model.centres).argmin(1)
        means = torch.stack([model.latents(arcs[:800])[nearest == c].mean(0) for c in range(4)])
    assert_close(model.centres.detach(), means, rtol=0, atol=0.01)
    decoder = deepcopy(model.decoder.state_dict())
    centres = model.centres.clone()
    terms = model.training_step(arcs[:200], draws)
    assert terms["objective"] == -terms["clustering"]
    assert not torch.equal(model.centres, centres)
    assert all(torch.equal(decoder[key], v) for key, v in model.decoder.state_dict().items())


def test_frequencies_are_refreshed_after_every_epoch(make, seeded, arcs):
    for epochs in (1, 2, 3):
        model, _ = trained(make, seeded, arcs, epochs)
        with torch.no_grad():
            expected = model.log_posterior(model.latents(arcs[:800])).exp().mean(0)
        assert_close(model.frequencies, expected)


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_state_carries_every_stage(make, seeded, arcs, epochs):
    model, _ = trained(make, seeded, arcs, epochs)
    twin = make("dec", seed=7, components=4, pretrain_epochs=2)
    twin.load_state_dict(model.state_dict())
    twin.make_optimizers()
    twin.optimizer.load_state_dict(deepcopy(model.optimizer.state_dict()))
    for epoch in (epochs + 1, epochs + 2):
        expected = train_epoch(model, arcs, seeded(epoch), epoch)
        assert train_epoch(twin, arcs, seeded(epoch), epoch) == expected
    one, two = model.state_dict(), twin.state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("start", ["k-means", "mixture"])
def test_centres_start_on_the_latents_in_their_old_order(make, seeded, arcs, start):
    model = make("dec", components=5, start=start)
    draws = seeded(1)
    model.prepare(arcs[:800], draws)
    before = model.centres.clone()
    model.epochs_done.fill_(1)
    model.refit(arcs[:800], draws, restarts=5)
    assert not torch.equal(before, model.centres)
    squared = torch.cdist(before, model.centres.detach()).square()
    assert linear_sum_assignment(squared.detach())[1].tolist() == [0, 1, 2, 3, 4]


def test_frequencies_follow_the_batches_after_pretraining(make, seeded, arcs):
    model, draws = trained(make, seeded, arcs, 1)
    before = model.frequencies.clone()
    model.training_step(arcs[:200], draws)
    assert torch.equal(model.frequencies, before)
    model, draws = trained(make, seeded, arcs, 2)
    with torch.no_grad():
        batch = model.log_responsibilities(arcs[:200]).exp().mean(0)
    expected = 0.9 * model.frequencies + 0.1 * batch
    model.training_step(arcs[:200], draws)
    assert_close(model.frequencies, expected)
    assert model.frequencies.sum().item() == pytest.approx(1, abs=1e-5)
