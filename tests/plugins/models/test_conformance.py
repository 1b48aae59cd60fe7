from robench.api.testing import ModelTests, TorchModelTests
from robench_plugins.models.bert4rec import Bert4Rec
from robench_plugins.models.lstm import Lstm
from robench_plugins.models.mf import MatrixFactorization
from robench_plugins.models.popularity import Popularity


class TestPopularity(ModelTests):
    model = Popularity
    personal = False


class TestMatrixFactorization(TorchModelTests):
    model = MatrixFactorization
    settings = {"factors": 16, "batch_size": 64, "learning_rate": 0.02, "epochs": 40}
    board = {"factors": 2, "epochs": 60, "weight_decay": 1e-3}


class TestLstm(TorchModelTests):
    model = Lstm
    settings = {"dim": 16, "hidden": 16, "batch_size": 16, "learning_rate": 0.02, "epochs": 25, "max_length": 12}


class TestBert4Rec(TorchModelTests):
    model = Bert4Rec
    settings = {"dim": 16, "batch_size": 16, "learning_rate": 0.01, "epochs": 40, "max_length": 13}
