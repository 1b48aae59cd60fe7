# The public names of robench.api, at most 60; helpers are imported from their modules.

# Every plugin
from robench.api.hooks import hookimpl as hookimpl
from robench.api.component import BaseConfig as BaseConfig

# Data sets
from robench.api.dataset import Dataset as Dataset
from robench.api.dataset import DatasetConfig as DatasetConfig
from robench.api.dataset import Ratings as Ratings
from robench.api.dataset import Ids as Ids
from robench.api.data import Item as Item
from robench.api.data import Catalogue as Catalogue
from robench.api.data import Interactions as Interactions
from robench.api.data import TrainData as TrainData
from robench.api.data import IntArray as IntArray
from robench.api.data import FloatArray as FloatArray

# Models
from robench.api.models.base import Model as Model
from robench.api.models.torch import TorchModel as TorchModel
from robench.api.models.torch import TorchConfig as TorchConfig
from robench.api.models.torch import Batch as Batch
from robench.api.models.torch import Embedded as Embedded
from robench.api.models.torch import Losses as Losses
from robench.api.models.pairwise import PairwiseModel as PairwiseModel
from robench.api.models.sequence import SequenceModel as SequenceModel
from robench.api.models.sequence import SequenceConfig as SequenceConfig
from robench.api.models.tokens import TokenModel as TokenModel
from robench.api.models.tokens import Tokens as Tokens

# Attacks
from robench.api.threat import Threat as Threat
from robench.api.surfaces import Surface as Surface
from robench.api.surfaces import Scale as Scale

# Attacks on the surfaces embedding and parameters
from robench.api.attacks.embedding import EmbeddingAttack as EmbeddingAttack
from robench.api.attacks.embedding import EmbeddingConfig as EmbeddingConfig
from robench.api.attacks.embedding import MinimumNormAttack as MinimumNormAttack
from robench.api.attacks.embedding import MinimumNormConfig as MinimumNormConfig
from robench.api.attacks.embedding import Oracle as Oracle
from robench.api.attacks.ball import Ball as Ball
from robench.api.attacks.ball import Delta as Delta
from robench.api.attacks.base import LossName as LossName

# Attacks on the surface history
from robench.api.attacks.history import HistoryAttack as HistoryAttack
from robench.api.attacks.history import HistoryConfig as HistoryConfig
from robench.api.attacks.history import HistoryOracle as HistoryOracle

# Attacks on the surface text
from robench.api.attacks.text import TextAttack as TextAttack
from robench.api.attacks.text import TextConfig as TextConfig
from robench.api.attacks.text import TextOracle as TextOracle

# Attacks on the surface interactions
from robench.api.attacks.poisoning import PoisoningAttack as PoisoningAttack
from robench.api.attacks.poisoning import PoisoningConfig as PoisoningConfig
from robench.api.attacks.profiles import Profiles as Profiles
from robench.api.attacks.poisoning import Corruption as Corruption

# Ensembles of attacks
from robench.api.attacks.ensemble import Ensemble as Ensemble
from robench.api.attacks.ensemble import Member as Member

# Defences
from robench.api.defense import Defense as Defense
from robench.api.defense import Cleaned as Cleaned
from robench.api.models.step import Step as Step
from robench.api.models.wrapped import Wrapped as Wrapped

# Metrics
from robench.api.metric import Metric as Metric
from robench.api.metric import Outcome as Outcome

# Executors
from robench.api.executor import Executor as Executor
from robench.api.executor import Task as Task
from robench.api.executor import Work as Work
from robench.api.executor import Emit as Emit

# Errors
from robench.api.errors import DataError as DataError
from robench.api.errors import PluginError as PluginError
from robench.api.errors import SettingError as SettingError

# Randomness
from robench.api.rng import Rng as Rng
