from robench.api.testing import ExecutorTests
from robench_plugins.executors.local import Local


class TestOneWorker(ExecutorTests):
    executor = Local
    settings = {"workers": 1}


class TestTwoWorkers(ExecutorTests):
    executor = Local
    settings = {"workers": 2}
