"""Tests of the AMM: both joints, the game, its optimum, the penalty and the two classifiers."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
from torch.nn import functional
from torch.testing import assert_close

from mixviz.errors import MixvizError
from mixviz.models import build, presets
from mixviz.models.amm import Game, Joint, gradient_penalty
from mixviz.models.amm_config import AMMConfig

FACTORISATIONS = ["z_given_c", "c_given_z"]
IMAGE = (1, 8, 8)


@pytest.fixture(params=FACTORISATIONS)
def factorisation(request):
    """Both factorisations of the inference distribution."""
    return request.param


@pytest.fixture
def x(seeded):
    """Return grey images, (40, 1, 8, 8)."""
    return torch.rand((40, *IMAGE), generator=seeded(5))


@pytest.fixture
def lively(make):
    """Return a function that builds an AMM whose weights are large enough to do something."""

    def made(shape=IMAGE, **settings):
        values = {"components": 3, "weight_deviation": 0.1, "component_spread": 2.0, **settings}
        return make("amm", shape, **values).train()

    return made


class Linear(nn.Module):
    """Discriminator whose logit is linear in x, c and z."""

    def __init__(self, *slopes):
        super().__init__()
        self.slopes = nn.ParameterList(torch.tensor(s) for s in slopes)

    def forward(self, x, c, z, generator):
        """Logit (B,)."""
        parts = zip((x, c, z), self.slopes, strict=True)
        return sum((part.flatten(1) * slope.flatten()).sum(1) for part, slope in parts)


# ---- gradient penalty ----------------------------------------------------------------------


def joints(seeded):
    """Two joints of 50 triples: x (2,), c (3,), z (2,)."""
    draws = seeded(3)
    return [Joint(*(torch.randn((50, n), generator=draws) for n in (2, 3, 2))) for _ in range(2)]


@pytest.mark.parametrize(
    "slopes",
    [
        ([3.0, 4.0], [0.0, 0.0, 0.0], [0.0, 0.0]),
        ([0.0, 0.0], [2.0, 2.0, 1.0], [0.0, 0.0]),
        ([0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.5]),
        ([1.0, -2.0], [0.5, 1.0, 0.5], [2.0, -1.0]),
        ([0.6, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0]),
    ],
)
def test_penalty_on_a_linear_discriminator_is_the_hand_value(seeded, slopes):
    length = math.sqrt(sum(value**2 for part in slopes for value in part))
    found = gradient_penalty(Game(*joints(seeded), Linear(*slopes)), seeded(0))
    assert found.item() == pytest.approx((length - 1) ** 2, abs=1e-6)


def test_penalty_pulls_the_slopes_in_x_c_and_z(seeded):
    slopes = ([1.0, -2.0], [0.5, 1.0, 0.5], [2.0, -1.0])
    discriminator = Linear(*slopes)
    gradient_penalty(Game(*joints(seeded), discriminator), seeded(0)).backward()
    length = math.sqrt(sum(value**2 for part in slopes for value in part))
    for parameter, slope in zip(discriminator.slopes, slopes, strict=True):
        # d (|a| - 1)^2 / d a = 2 (|a| - 1) a / |a|
        assert_close(parameter.grad, 2 * (length - 1) / length * torch.tensor(slope))


def test_penalty_is_taken_on_the_lines_between_pairs(seeded):
    seen = []

    class Watching(Linear):
        def forward(self, x, c, z, generator):
            seen.append(torch.cat([x, c, z], dim=1).detach())
            return super().forward(x, c, z, generator)

    q, p = joints(seeded)
    gradient_penalty(Game(q, p, Watching([1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0])), seeded(0))
    start, end = torch.cat(q, dim=1), torch.cat(p, dim=1)
    share = (seen[0] - start) / (end - start)
    # One position for all of x, c and z, and a new one for each pair.
    assert_close(share, share[:, :1].expand_as(share), rtol=1e-3, atol=1e-3)
    assert 0 <= share[:, 0].min() < 0.2
    assert 0.8 < share[:, 0].max() <= 1
    assert share[:, 0].std() > 0.2


def test_penalty_reaches_no_generator(lively, seeded, x):
    model = lively()
    (game,) = model.games(x, seeded(1))
    gradient_penalty(game, seeded(1)).backward()
    for name, parameter in model.named_parameters():
        if not name.startswith("discriminator"):
            assert parameter.grad is None, name
    columns = model.discriminator
    for column in (columns.x_column, columns.c_column, columns.z_column, columns.joint):
        assert column.stages[0].map.weight.grad.abs().sum() > 0


def test_weight_of_the_penalty_is_a_live_setting(lively, seeded, x):
    model = lively()
    losses = []
    for weight in (0.0, 1.0, 5.0):
        model.set_live("penalty_weight", weight)
        loss, _, terms = model.play(x, seeded(2))
        losses.append(loss.item())
    penalty = terms["gradient_penalty"].item()
    assert losses[1] - losses[0] == pytest.approx(penalty, rel=1e-4)
    assert losses[2] - losses[0] == pytest.approx(5 * penalty, rel=1e-4)


# ---- the game ------------------------------------------------------------------------------


def test_losses_are_those_of_algorithm_1(lively, seeded, x, factorisation):
    model = lively(factorisation=factorisation, penalty_weight=0.0).eval()
    discriminator, others, terms = model.play(x, seeded(7))
    draws = seeded(7)
    q = model.inference(x, draws)
    p = model.synthesis(len(x), draws)
    rho_q = model.discriminator(*q, None).sigmoid()
    rho_p = model.discriminator(*p, None).sigmoid()
    expected = {
        "discriminator_loss": -rho_q.log().mean() - (1 - rho_p).log().mean(),
        "generator_loss": -rho_p.log().mean(),
        "encoder_loss": -(1 - rho_q).log().mean(),
        "d_inference": rho_q.mean(),
        "d_synthesis": rho_p.mean(),
    }
    for name, value in expected.items():
        assert_close(terms[name], value.detach())
    assert_close(discriminator, expected["discriminator_loss"])
    assert_close(others, expected["generator_loss"] + expected["encoder_loss"])


@pytest.mark.parametrize("mixture", ["learned", "fixed"])
def test_a_step_is_one_descent_of_each_player_from_the_same_point(
    lively, seeded, x, factorisation, mixture
):
    model = lively(factorisation=factorisation, mixture=mixture)
    model.make_optimizers()
    expected = {}
    loss, others, _ = model.play(x, seeded(1))
    for name, parameter in model.named_parameters():
        mine = loss if name.startswith("discriminator") else others
        (gradient,) = torch.autograd.grad(mine, parameter, retain_graph=True, allow_unused=True)
        expected[name] = gradient
    model.training_step(x, seeded(1))
    for name, parameter in model.named_parameters():
        assert_close(parameter.grad, expected[name], msg=name)


def test_every_parameter_belongs_to_one_player(lively):
    model = lively()
    model.make_optimizers()
    players = {
        name: {id(p) for group in optimizer.param_groups for p in group["params"]}
        for name, optimizer in model.optimizers().items()
    }
    assert set(players) == {"discriminator", "generators", "encoder"}
    assert sum(map(len, players.values())) == len(set().union(*players.values()))
    assert set().union(*players.values()) == {id(p) for p in model.parameters()}
    for optimizer in model.optimizers().values():
        assert optimizer.defaults["betas"][0] == 0.5


def test_learning_rate_reaches_all_players(lively):
    model = lively()
    model.make_optimizers()
    model.set_live("learning_rate", 3e-3)
    rates = [g["lr"] for o in model.optimizers().values() for g in o.param_groups]
    assert rates == [3e-3] * 3


def trained_discriminator(make, seeded, q, p, steps):
    """Return an AMM whose discriminator alone has learned to tell q from p."""
    model = make("amm", (2,), components=3, penalty_weight=0.0, learning_rate=2e-3)
    return tell_apart(model, seeded, q, p, steps)


def tell_apart(model, seeded, q, p, steps):
    """Let the discriminator of an AMM learn to tell q from p, from where it is."""
    model.inference = lambda x, generator: q(len(x), generator)
    model.synthesis = p
    optimizer = torch.optim.Adam(model.discriminator.parameters(), 2e-3, betas=(0.5, 0.999))
    draws, x = seeded(1), torch.zeros(1000, 2)
    for _ in range(steps):
        loss, _, _ = model.play(x, draws)
        optimizer.zero_grad()
        loss.backward(inputs=list(model.discriminator.parameters()))
        optimizer.step()
    return model


def toy(shift):
    """Joint of a two-dimensional mixture whose x is moved by `shift`."""

    def draw(count, generator):
        c = functional.one_hot(torch.randint(3, (count,), generator=generator), 3).float()
        z = c[:, :2] + torch.randn((count, 2), generator=generator)
        return Joint(z + shift + torch.randn((count, 2), generator=generator), c, z)

    return draw


def test_at_the_optimum_the_discriminator_is_one_half(make, seeded):
    """Joints that differ make it certain; once they are matched it unlearns that."""
    model = trained_discriminator(make, seeded, toy(0.5), toy(-0.5), steps=60)
    joint = toy(0.0)(1000, seeded(4))
    with torch.no_grad():
        assert model.discriminator(*joint, None).sigmoid().std() > 0.2
    tell_apart(model, seeded, toy(0.0), toy(0.0), steps=150)
    with torch.no_grad():
        _, _, terms = model.play(torch.zeros(4000, 2), seeded(9))
    assert terms["discriminator_loss"].item() == pytest.approx(math.log(4), abs=0.01)
    assert terms["generator_loss"].item() == pytest.approx(math.log(2), abs=0.02)
    assert terms["encoder_loss"].item() == pytest.approx(math.log(2), abs=0.02)
    with torch.no_grad():
        half = model.discriminator(*joint, None).sigmoid()
    assert half.mean().item() == pytest.approx(0.5, abs=0.02)
    assert half.std() < 0.05


def test_discriminator_approaches_the_ratio_of_the_joints(make, seeded):
    model = trained_discriminator(make, seeded, toy(0.5), toy(-0.5), steps=150)
    x, c, z = toy(0.0)(1000, seeded(4))
    with torch.no_grad():
        found = model.discriminator(x, c, z, None)
    # log N(x; z + 1/2, I) - log N(x; z - 1/2, I) = sum (x - z)
    expected = (x - z).sum(1)
    assert (found - expected).square().mean() < 0.05 * expected.square().mean()


# ---- samples of the joints -----------------------------------------------------------------


def test_categorical_samples_are_softmax_of_gaussian_logits(lively, seeded, x, factorisation):
    model = lively(factorisation=factorisation).eval()
    q = model.infer(x, seeded(3))
    noise = {"generator": seeded(3)}
    if factorisation == "z_given_c":
        c_noise, z_noise = torch.randn((40, 3), **noise), torch.randn((40, 10), **noise)
    else:
        z_noise, c_noise = torch.randn((40, 10), **noise), torch.randn((40, 3), **noise)
    h = q.c_mean + (0.5 * q.c_log_variance).exp() * c_noise
    assert_close(q.c, h.exp() / h.exp().sum(1, keepdim=True))
    assert_close(q.z, q.z_mean + (0.5 * q.z_log_variance).exp() * z_noise)


def test_z_sees_c_only_where_it_is_given_c(lively, seeded, x, factorisation):
    model = lively(factorisation=factorisation).eval()
    one, two = model.infer(x, seeded(1)), model.infer(x, seeded(2))
    assert torch.equal(one.c_mean, two.c_mean)
    assert torch.equal(one.z_mean, two.z_mean) == (factorisation == "c_given_z")


def test_the_follower_depends_on_the_leader(lively, x, factorisation):
    model = lively(factorisation=factorisation).eval()
    before = model.infer(x, None)
    with torch.no_grad():
        model.encoder.columns.lead_stages[0].map.weight.mul_(1.5)
    after = model.infer(x, None)
    assert not torch.equal(before.c_mean, after.c_mean)
    assert not torch.equal(before.z_mean, after.z_mean)
    with torch.no_grad():
        model.encoder.columns.follow_stages[0].map.weight.mul_(1.5)
    last = model.infer(x, None)
    follower, leader = ("z_mean", "c_mean")[:: 1 if factorisation == "z_given_c" else -1]
    assert torch.equal(getattr(last, leader), getattr(after, leader))
    assert not torch.equal(getattr(last, follower), getattr(after, follower))


def test_components_have_the_moments_of_their_samples(lively, seeded):
    model = lively().eval()
    mixture = model.components()
    joint = model.synthesis(30_000, seeded(1))
    assert_close(joint.c.sum(1), torch.ones(30_000))
    share = joint.c.mean(0)
    assert_close(share, mixture.weights, atol=0.01, rtol=0)
    for k in range(3):
        z = joint.z[joint.c[:, k] == 1]
        assert_close(z.mean(0), mixture.means[k], atol=0.06, rtol=0)
        assert_close(z.var(0), mixture.variances[k], atol=0, rtol=0.1)


def test_fixed_components_that_would_be_the_same_are_refused():
    with pytest.raises(MixvizError, match=r"component_spread=0\.0: fixed .* component_spread=3"):
        build(AMMConfig, {"mixture": "fixed"})
    assert build(AMMConfig, {"mixture": "fixed", "components": 1}).component_spread == 0


def test_papers_accuracies_are_by_bayes_rule():
    found = {name: each for name, (_, each) in presets().items() if "amm-" in name}
    papers = {name: each for name, each in found.items() if name.endswith("-paper")}
    assert set(papers) == {"amm-mnist-paper", "amm-svhn-paper", "samm-svhn-paper"}
    assert all(each.settings["assignment"] == "bayes" for each in papers.values())


def test_fixed_components_have_unit_variance_and_do_not_move(lively, seeded, x):
    model = lively(mixture="fixed", component_spread=4.0)
    before = model.components()
    assert (before.variances == 1).all()
    assert before.means.std().item() == pytest.approx(4, rel=0.5)
    model.make_optimizers()
    for _ in range(3):
        model.training_step(x, seeded(1))
    assert torch.equal(model.components().means, before.means)


def test_learned_components_move(lively, seeded, x):
    model = lively()
    before = model.components()
    model.make_optimizers()
    for _ in range(3):
        model.training_step(x, seeded(1))
    after = model.components()
    assert not torch.equal(after.means, before.means)
    assert not torch.equal(after.variances, before.variances)


# ---- answers -------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("assignment", ["head", "bayes"])
def test_assignment_is_that_of_the_chosen_classifier_without_noise(
    lively, x, factorisation, assignment
):
    model = lively(factorisation=factorisation, assignment=assignment).eval()
    head = model.infer(x, None).c_mean.log_softmax(1)
    chosen = head if assignment == "head" else model.classifiers(x)["bayes"]
    assert_close(model.log_responsibilities(x), chosen)
    assert torch.equal(model.log_responsibilities(x), model.log_responsibilities(x))


def test_noise_of_the_logits_starts_as_told(make, x):
    for deviation in (1.0, 0.1):
        model = make("amm", IMAGE, components=3, logit_deviation=deviation).eval()
        spread = (0.5 * model.infer(x, None).c_log_variance).exp()
        assert spread.mean().item() == pytest.approx(deviation, rel=0.02)


@torch.no_grad()
def test_bayes_classifier_is_that_of_the_mixture(lively, x):
    model = lively().eval()
    model.class_frequencies.copy_(torch.tensor([0.2, 0.7, 0.1]))
    mixture = model.components()
    normals = Independent(Normal(mixture.means, mixture.variances.sqrt()), 1)
    z = model.posterior(x)[0]
    joint = normals.log_prob(z[:, None]) + mixture.weights.log()
    assert_close(
        joint.logsumexp(1), MixtureSameFamily(Categorical(mixture.weights), normals).log_prob(z)
    )
    expected = joint - joint.logsumexp(1, keepdim=True)
    found = model.classifiers(x)["bayes"]
    assert_close(found, expected)
    assert found.exp().std() > 0.05, "the components must differ for the test to say anything"


@torch.no_grad()
def test_agreement_is_the_share_on_which_both_classifiers_agree(lively, seeded, x):
    model = lively().eval()
    head = model.log_responsibilities(x).argmax(1).tolist()
    bayes = model.classifiers(x)["bayes"].argmax(1).tolist()
    expected = sum(a == b for a, b in zip(head, bayes, strict=True)) / len(x)
    assert model.evaluate_terms(x, seeded(0))["bayes_agreement"].item() == pytest.approx(expected)


@torch.no_grad()
def test_decode_takes_the_most_probable_component(lively, seeded):
    model = lively().eval()
    z = 2 * torch.randn((30, model.latent_size), generator=seeded(1))
    mixture = model.components()
    normals = Independent(Normal(mixture.means, mixture.variances.sqrt()), 1)
    c = normals.log_prob(z[:, None]).argmax(1)
    assert len(c.unique()) > 1
    assert torch.equal(model.decode(z), model.decode(z, c))
    assert not torch.equal(model.decode(z, c), model.decode(z, (c + 1) % 3))
    assert model.decode(z).shape == (30, *IMAGE)


@pytest.mark.parametrize("shape", [(2,), (7,), IMAGE])
def test_pixels_are_bounded_and_vectors_are_not(lively, seeded, shape):
    model = lively(shape, weight_deviation=1.0).eval()
    found = model.sample(torch.arange(3).repeat(20), seeded(0))
    assert found.shape == (60, *shape)
    assert (found.min() >= 0 and found.max() <= 1) == (shape == IMAGE)


def test_learning_rate_is_halved_by_epochs_and_follows_a_live_change(lively, x, seeded):
    model = lively(halve_every=2, learning_rate=4e-3)
    model.make_optimizers()
    rates = []
    for epoch in range(1, 6):
        model.end_epoch(epoch, x, seeded(0))
        rates.append({g["lr"] for o in model.optimizers().values() for g in o.param_groups})
    assert rates == [{4e-3}, {2e-3}, {2e-3}, {1e-3}, {1e-3}]
    model.set_live("learning_rate", 8e-3)
    assert model.optimizers()["encoder"].param_groups[0]["lr"] == 2e-3
    other = lively(halve_every=2, learning_rate=4e-3)
    other.make_optimizers()
    other.load_state_dict(model.state_dict())
    assert other.optimizers()["encoder"].param_groups[0]["lr"] == 1e-3
    assert "epochs" not in lively().state_dict()  # runs from before there were halvings load
