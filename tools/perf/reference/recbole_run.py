"""Fits and measures one RecBole 1.2.1 model on an exported split.

    python recbole_run.py FOLDER NAME MODEL OUT.json '{"epochs": 60}'

The script runs in a separate Python environment. FOLDER/NAME holds RecBole's benchmark files (NAME.train.inter,
NAME.valid.inter, NAME.test.inter), or one NAME.inter. The single file is split leave-one-out by its timestamps. The
environment needs recbole==1.2.1, numpy < 2, scipy < 1.13 and setuptools < 81.
"""

import json
import sys
import time
from pathlib import Path

import torch

_load = torch.load
torch.load = lambda *args, **kw: _load(*args, **{**kw, "weights_only": False})  # RecBole stores its config in the file

from recbole.config import Config  # noqa: E402
from recbole.data import create_dataset, data_preparation  # noqa: E402
from recbole.utils import get_model, get_trainer, init_seed  # noqa: E402

LEARNT_AT_ONCE = ("EASE", "ItemKNN")


def main(folder: Path, name: str, model_name: str, out: Path, settings: dict) -> None:
    torch.set_num_threads(1)
    sequential = (folder / name / f"{name}.inter").exists()
    split = {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"}
    given = {
        "data_path": str(folder),
        "field_separator": "\t",
        "load_col": {"inter": ["user_id", "item_id", *(["timestamp"] if sequential else [])]},
        "metrics": ["NDCG", "Recall", "Hit", "MRR"],
        "topk": [10],
        "valid_metric": "NDCG@10",
        "use_gpu": False,
        "show_progress": False,
        "state": "ERROR",
        "checkpoint_dir": str(out.parent / "saved"),
        "seed": 2020,
        **({"eval_args": split} if sequential else {"benchmark_filename": ["train", "valid", "test"]}),
        **({"train_neg_sample_args": None} if sequential else {}),
        **settings,
    }
    config = Config(model=model_name, dataset=name, config_dict=given)
    init_seed(config["seed"], config["reproducibility"])
    data = create_dataset(config)
    train, valid, test = data_preparation(config, data)
    # CPU seconds of this single thread, which hardly depend on the load of the machine.
    start = time.process_time()
    model = get_model(config["model"])(config, train.dataset).to("cpu")
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    epochs, original = [], trainer._train_epoch

    def timed(*args, **kwargs):
        began = time.process_time()
        found = original(*args, **kwargs)
        epochs.append({"seconds": time.process_time() - began})
        return found

    def after(epoch, score):
        epochs[-1] |= {"validation_ndcg@10": float(score), "since_start": time.process_time() - start}
        write(None)

    def write(result):
        content = {"model": model_name, "settings": settings, "epochs": epochs, "test": result}
        content |= {"users": int(data.user_num) - 1, "items": int(data.item_num) - 1, "targets": len(train.dataset)}
        content["seconds"] = time.process_time() - start
        out.write_text(json.dumps(content, indent=1) + "\n")

    trainer._train_epoch = timed
    trainer.fit(train, valid, saved=True, show_progress=False, callback_fn=after)
    result = trainer.evaluate(test, load_best_model=model_name not in LEARNT_AT_ONCE, show_progress=False)
    write({key: float(value) for key, value in result.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4]), json.loads(sys.argv[5]))
