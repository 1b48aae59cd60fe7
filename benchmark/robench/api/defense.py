"""The base class of defences, and the class of cleaned training data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robench.api.component import Component
from robench.api.data import FloatArray, Interactions, TrainData
from robench.api.errors import SettingError
from robench.api.models.base import Model
from robench.api.privacy import PrivateFit, PrivateGram
from robench.api.rng import Rng

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api.models.step import Step
    from robench.api.models.torch import TorchModel


@dataclass(frozen=True, eq=False)
class Cleaned:
    """Training data that a defence has cleaned.

    Args:
        train: the interactions that the defence has kept, in their order. Row u still belongs to user u.
        suspicion: the suspicion score of each user, float64 [n_users]. A higher score means more suspicion.
    """

    train: Interactions
    suspicion: FloatArray


class Defense(Component):
    """The defence of one victim.

    The base class itself changes nothing. A subclass overrides any of ``sanitise``, ``privatise``, ``train_privately``,
    ``clean_text``, ``loss`` and ``wrap``. Of these methods, the host calls only those that are overridden. λ, the
    weight of the clean loss, is the setting ``lambda_`` (alias ``lambda``). λ = 1 means no defence.

    Attributes:
        neural: whether the defence needs a ``TorchModel``. If so, cells of other models are skipped. A defence with a
            ``loss`` always needs a ``TorchModel``.
        changes_fit: whether training depends on the defence. False means that the fitted weights equal those of the
            undefended model bit for bit, as long as the defence changes no title. The conformance class tests this
            claim. Such a defence only wraps the fitted model or cleans titles. If no title changes, the victim uses the
            checkpoint of its undefended twin.
    """

    neural: ClassVar[bool] = False
    changes_fit: ClassVar[bool] = True

    def sanitise(self, train: Interactions, rng: Rng) -> Cleaned:
        """Returns the cleaned training data.

        The method may drop interactions, but not add, change or move any. To drop a user, it leaves the user's row
        empty. It does not learn which users are fake, or how many there are.

        Args:
            train: the interactions of real and fake users. The rows are in random order, and the time of each
                interaction is its position in the row.
            rng: the random stream of the defence.
        """
        raise TypeError(f"{type(self).__name__} has no sanitise()")

    def known_attacks(self) -> tuple[str, ...]:
        """Returns the names of the attacks that ``sanitise`` has learned from.

        A detector should be tested on other attacks. Tables mark the rows in which the detector faces one of these
        attacks.
        """
        return ()

    def privatise(self, train: Interactions, rng: Rng) -> PrivateGram:
        """Returns a private item-item matrix that a model learns from.

        The model gets this matrix and no interactions. So the guarantee covers everything that the model learns.

        Args:
            train: the interactions of all users, after any cleaning.
            rng: the random stream of the noise.
        """
        raise TypeError(f"{type(self).__name__} has no privatise()")

    def train_privately(
        self, model: TorchModel, data: TrainData, rng: Rng, report: Callable[[int, int], None]
    ) -> PrivateFit:
        """Trains a neural model in place of the host, with a guarantee for each user.

        The host builds the model without any interaction, and measures it only after this method has returned. So the
        guarantee covers everything that the model learns.

        Args:
            model: the model, built and in training mode, on its device. Its weights change in place.
            data: the training items of all users, after any cleaning. There are no validation items and no profiles.
            rng: the random stream of the batches and of the noise.
            report: a function that is called after every epoch with (epochs done, epochs planned).
        """
        raise TypeError(f"{type(self).__name__} has no train_privately()")

    def check_installed(self) -> None:
        """Checks that the packages that the defence needs are installed.

        The host calls this method before any work. The default implementation does nothing.

        Raises:
            DataError: if a package is missing.
        """

    def clean_text(self, title: str) -> str:
        """Returns the title that the model reads in place of ``title``.

        The model reads the returned title both in training and at test time.
        """
        raise TypeError(f"{type(self).__name__} has no clean_text()")

    def loss(self, step: Step) -> Tensor:
        """Returns the scalar loss that the training loop backpropagates in this step.

        The method may backpropagate some parts of the loss itself. The returned loss must not include these parts.
        """
        raise TypeError(f"{type(self).__name__} has no loss()")

    def wrap(self, model: Model, rng: Rng) -> Model:
        """Wraps the fitted model and returns the model to measure."""
        raise TypeError(f"{type(self).__name__} has no wrap()")

    def problem(self, model: type[Model]) -> str:
        """Returns why the defence cannot protect a model, or an empty string if it can.

        If there is a reason, the cells with this model and this defence are skipped. The reason completes a sentence
        that begins with the name of the model, such as ``"is not neural"``. A subclass with further checks calls
        ``super().problem(model)`` first.
        """
        if (self.neural or self.overrides("train_privately")) and not model.neural:
            return "is not neural"
        changes = ("loss", "sanitise", "privatise", "train_privately")
        if model.trained_elsewhere and any(map(self.overrides, changes)):
            return "was trained elsewhere"
        if self.overrides("privatise") and not model.learns_gram:
            return "cannot learn from an item-item matrix alone"
        if self.overrides("clean_text") and "text" not in model.surfaces:
            return "reads no texts"
        if self.overrides("loss") and not model.neural:
            return "has no training loss"
        return ""

    def check_epochs(self, epochs: int) -> None:
        """Checks that training lasts longer than the defence's warm-up.

        Args:
            epochs: the number of training epochs.

        Raises:
            SettingError: if training ends during the warm-up. If a change to one setting suffices, the error's
                ``field`` names this setting.
        """
        if not self.settled(epochs - 1):
            raise SettingError("is still warming up after them", "", "give the model more epochs")

    def settled(self, epoch: int) -> bool:
        """Returns whether the weights after an epoch may be selected.

        The base class always returns True. A defence with a warm-up returns False for the epochs of the warm-up. The
        weights after these epochs are undefended, so validation might prefer them.

        Args:
            epoch: the number of the epoch, from 0.
        """
        return True

    @classmethod
    def overrides(cls, method: str) -> bool:
        """Returns whether this class overrides a method of ``Defense``."""
        return getattr(cls, method) is not getattr(Defense, method)

    def strength(self) -> tuple[float, float | None]:
        """Returns λ and the ε of training, which tables show.

        Without the setting ``lambda_``, λ is 1.0. Without the setting ``epsilon``, ε is None.
        """
        return float(self.setting("lambda_", 1.0)), self.setting("epsilon", None)
