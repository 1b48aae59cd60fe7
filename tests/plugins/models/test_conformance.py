from robench.testing import ModelTests, TorchModelTests
from robench_plugins.models.bagging import Bagging
from robench_plugins.models.bert4rec import Bert4Rec
from robench_plugins.models.content import Content
from robench_plugins.models.ease import Ease
from robench_plugins.models.gru4rec import Gru4Rec
from robench_plugins.models.item_knn import ItemKnn
from robench_plugins.models.lightgcn import LightGcn
from robench_plugins.models.lstm import Lstm
from robench_plugins.models.mf import MatrixFactorization
from robench_plugins.models.multi_vae import MultiVae
from robench_plugins.models.neumf import NeuMf
from robench_plugins.models.popularity import Popularity
from robench_plugins.models.sasrec import SasRec
from robench_plugins.models.user_knn import UserKnn
from robench_plugins.models.vbpr import Vbpr
from robench_plugins.models.wmf import Wmf

RECURRENT = {"dim": 16, "hidden": 16, "batch_size": 16, "learning_rate": 0.02, "epochs": 25, "max_length": 12}


class TestPopularity(ModelTests):
    model = Popularity
    personal = False


class TestUserKnn(ModelTests):
    model = UserKnn
    settings = {"k": 20}


class TestItemKnn(ModelTests):
    model = ItemKnn
    settings = {"k": 20}


class TestContent(ModelTests):
    model = Content
    collaborative = False


class TestEase(ModelTests):
    model = Ease
    settings = {"weight_decay": 20.0}


class TestWmf(ModelTests):
    model = Wmf
    settings = {"factors": 8, "weight_decay": 2.0}
    board = {"factors": 2}


class TestBagging(ModelTests):
    model = Bagging
    settings = {"models": 3, "users": 0.7}


class TestMatrixFactorization(TorchModelTests):
    model = MatrixFactorization
    settings = {"factors": 16, "batch_size": 64, "learning_rate": 0.02, "epochs": 40}
    board = {"factors": 2, "epochs": 60, "weight_decay": 1e-3}


class TestVbpr(TorchModelTests):
    model = Vbpr
    settings = {"factors": 8, "visual_factors": 8, "batch_size": 64, "learning_rate": 0.02, "epochs": 40}
    board = {"factors": 1, "visual_factors": 1, "epochs": 60, "weight_decay": 1e-3}


class TestMatrixFactorizationWithSoftmax(TestMatrixFactorization):
    settings = {**TestMatrixFactorization.settings, "loss": "ce"}
    board = {"factors": 2, "epochs": 60, "weight_decay": 1e-2}


class TestNeuMf(TorchModelTests):
    model = NeuMf
    settings = {"factors": 8, "mlp_factors": 8, "hidden": [16, 8], "batch_size": 64, "learning_rate": 0.02}
    board = {"factors": 1, "mlp_factors": 1, "hidden": [2], "epochs": 60}


class TestMultiVae(TorchModelTests):
    model = MultiVae
    settings = {"hidden": 32, "latent": 16, "batch_size": 16, "learning_rate": 0.01, "epochs": 40}


class TestLightGcn(TorchModelTests):
    model = LightGcn
    settings = {"factors": 16, "batch_size": 128, "epochs": 30, "learning_rate": 0.02}


class TestLstm(TorchModelTests):
    model = Lstm
    settings = RECURRENT


class TestGru4Rec(TorchModelTests):
    model = Gru4Rec
    settings = RECURRENT


class TestSasRec(TorchModelTests):
    model = SasRec
    settings = {"dim": 16, "batch_size": 16, "learning_rate": 0.01, "epochs": 40, "max_length": 12}


class TestSasRecWithSampledNegatives(TestSasRec):
    settings = {"dim": 16, "batch_size": 16, "learning_rate": 0.01, "epochs": 40, "max_length": 12, "loss": "bce"}


class TestBert4Rec(TorchModelTests):
    model = Bert4Rec
    settings = {"dim": 16, "batch_size": 16, "learning_rate": 0.01, "epochs": 40, "max_length": 13}
