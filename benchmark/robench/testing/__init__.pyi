# The public names of robench.testing.

from robench.testing.datasets import DatasetTests as DatasetTests
from robench.testing.models import ModelTests as ModelTests
from robench.testing.torch_models import TorchModelTests as TorchModelTests
from robench.testing.trained import TrainedModelTests as TrainedModelTests
from robench.testing.embedding import EmbeddingAttackTests as EmbeddingAttackTests
from robench.testing.history import HistoryAttackTests as HistoryAttackTests
from robench.testing.text import TextAttackTests as TextAttackTests
from robench.testing.poisoning import PoisoningAttackTests as PoisoningAttackTests
from robench.testing.poisoning import CorruptionTests as CorruptionTests
from robench.testing.membership import MembershipAttackTests as MembershipAttackTests
from robench.testing.ensemble import EnsembleTests as EnsembleTests
from robench.testing.defenses import DefenseTests as DefenseTests
from robench.testing.metrics import MetricTests as MetricTests
from robench.testing.executors import ExecutorTests as ExecutorTests
from robench.testing.reports import ReportTests as ReportTests
