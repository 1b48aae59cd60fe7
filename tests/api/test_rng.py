import torch

from robench.api.rng import Rng


def test_streams_depend_on_seed_and_path_alone():
    assert Rng(0).child("a", 1).entropy() == Rng(0).child("a").child("1").entropy()
    assert len({Rng(s).child(*p).entropy() for s in (0, 1) for p in ((), ("a",), ("b",), ("a", "b"), ("ab",))}) == 10
    assert Rng(0).child("x").numpy().random() == Rng(0).child("x").numpy().random()
    assert torch.equal(torch.rand(3, generator=Rng(0).torch()), torch.rand(3, generator=Rng(0).torch()))


def test_a_stream_seeds_and_restores_torch():
    torch.manual_seed(7)
    expected = torch.rand(4)
    torch.manual_seed(7)
    with Rng(1).stream():
        one = torch.rand(4)
    assert torch.equal(torch.rand(4), expected)
    with Rng(1).stream():
        assert torch.equal(torch.rand(4), one)


def test_seeds_of_children_are_those_of_their_generators():
    roles = ["1", "user 2", "ε"]
    seeds = list(Rng(-4).child("a", "b").child_seeds([role.encode() for role in roles]))
    assert seeds == [Rng(-4).child("a", "b", role).torch().initial_seed() for role in roles]
