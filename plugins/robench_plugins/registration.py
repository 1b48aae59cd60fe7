"""Registers the names of all built-in components, and the progress line.

A new built-in component needs one line here. Like any other plugin package, this package implements the hooks of
``robench.api.hooks``.
"""

from __future__ import annotations

from robench.api import hookimpl
from robench_plugins.progress import ProgressLine

_progress = ProgressLine()
robench_data_read = _progress.robench_data_read
robench_suite_started = _progress.robench_suite_started
robench_victim_progress = _progress.robench_victim_progress
robench_cell_finished = _progress.robench_cell_finished
robench_suite_finished = _progress.robench_suite_finished


@hookimpl
def robench_datasets() -> dict[str, str]:
    """Returns the built-in data sets by name."""
    return {
        "movielens-small": "robench_plugins.datasets.movielens_small:MovielensSmall",
        "csv": "robench_plugins.datasets.csv_file:CsvFile",
        "recbole": "robench_plugins.datasets.recbole:Recbole",
        "movielens": "robench_plugins.datasets.movielens:MovieLens",
        "sequences": "robench_plugins.datasets.sequences:Sequences",
        "amazon": "robench_plugins.datasets.amazon:Amazon",
        "frame": "robench_plugins.datasets.frame:Frame",
        "synthetic": "robench_plugins.datasets.synthetic:Synthetic",
        "movielens-100k": "robench_plugins.datasets.known_movielens:MovieLens100K",
        "movielens-1m": "robench_plugins.datasets.known_movielens:MovieLens1M",
        "movielens-10m": "robench_plugins.datasets.known_movielens:MovieLens10M",
        "movielens-20m": "robench_plugins.datasets.known_movielens:MovieLens20M",
        "movielens-25m": "robench_plugins.datasets.known_movielens:MovieLens25M",
        "movielens-32m": "robench_plugins.datasets.known_movielens:MovieLens32M",
        "movielens-latest-small": "robench_plugins.datasets.known_movielens:MovieLensLatestSmall",
        "amazon-beauty-2014": "robench_plugins.datasets.known_amazon:AmazonBeauty2014",
        "amazon-video-games-2014": "robench_plugins.datasets.known_amazon:AmazonVideoGames2014",
        "amazon-video-games-2018": "robench_plugins.datasets.known_amazon:AmazonVideoGames2018",
        "amazon-beauty-2023": "robench_plugins.datasets.known_amazon:AmazonBeauty2023",
        "amazon-video-games-2023": "robench_plugins.datasets.known_amazon:AmazonVideoGames2023",
    }


@hookimpl
def robench_models() -> dict[str, str]:
    """Returns the built-in models by name."""
    return {
        "popularity": "robench_plugins.models.popularity:Popularity",
        "user-knn": "robench_plugins.models.user_knn:UserKnn",
        "item-knn": "robench_plugins.models.item_knn:ItemKnn",
        "content": "robench_plugins.models.content:Content",
        "ease": "robench_plugins.models.ease:Ease",
        "wmf": "robench_plugins.models.wmf:Wmf",
        "bagging": "robench_plugins.models.bagging:Bagging",
        "mf": "robench_plugins.models.mf:MatrixFactorization",
        "vbpr": "robench_plugins.models.vbpr:Vbpr",
        "neumf": "robench_plugins.models.neumf:NeuMf",
        "multi-vae": "robench_plugins.models.multi_vae:MultiVae",
        "lightgcn": "robench_plugins.models.lightgcn:LightGcn",
        "lstm": "robench_plugins.models.lstm:Lstm",
        "gru4rec": "robench_plugins.models.gru4rec:Gru4Rec",
        "sasrec": "robench_plugins.models.sasrec:SasRec",
        "bert4rec": "robench_plugins.models.bert4rec:Bert4Rec",
        "text-bert": "robench_plugins.models.text_bert:TextBert",
        "tiger": "robench_plugins.models.tiger.model:Tiger",
        "llm": "robench_plugins.models.llm.model:Llm",
        "chat": "robench_plugins.models.chat.model:Chat",
    }


@hookimpl
def robench_attacks() -> dict[str, str]:
    """Returns the built-in attacks by name."""
    return {
        "random-noise": "robench_plugins.attacks.embedding.random_noise:RandomNoise",
        "fgsm": "robench_plugins.attacks.embedding.fgsm:Fgsm",
        "pgd": "robench_plugins.attacks.embedding.pgd:Pgd",
        "apgd": "robench_plugins.attacks.embedding.apgd:Apgd",
        "msap": "robench_plugins.attacks.embedding.msap:Msap",
        "random-search": "robench_plugins.attacks.embedding.random_search:RandomSearch",
        "smooth-rank": "robench_plugins.attacks.embedding.smooth_rank:SmoothRank",
        "cw": "robench_plugins.attacks.embedding.cw:CarliniWagner",
        "auto": "robench_plugins.attacks.auto:Auto",
        "random-edit": "robench_plugins.attacks.history.random_edit:RandomEdit",
        "edit-effects": "robench_plugins.attacks.history.edit_effects:EditEffects",
        "greedy-edit": "robench_plugins.attacks.history.greedy_edit:GreedyEdit",
        "greedy-gradient": "robench_plugins.attacks.history.greedy_gradient:GreedyGradient",
        "random-rewrite": "robench_plugins.attacks.text.random_rewrite:RandomRewrite",
        "typo": "robench_plugins.attacks.text.typo:TypoAttack",
        "prefix": "robench_plugins.attacks.text.prefix:Prefix",
        "rewrite": "robench_plugins.attacks.text.rewrite:Rewrite",
        "prompt-injection": "robench_plugins.attacks.text.prompt_injection:PromptInjection",
        "collide": "robench_plugins.attacks.text.collide:Collide",
        "hotflip": "robench_plugins.attacks.text.hotflip:HotFlip",
        "bandwagon": "robench_plugins.attacks.poisoning.bandwagon:Bandwagon",
        "dpa2dl": "robench_plugins.attacks.poisoning.dpa2dl:Dpa2dl",
        "rapu-r": "robench_plugins.attacks.poisoning.rapu_r:RapuR",
        "revadv": "robench_plugins.attacks.poisoning.revadv:RevAdv",
        "pga": "robench_plugins.attacks.poisoning.pga:Pga",
        "random-profiles": "robench_plugins.attacks.poisoning.random_profiles:RandomProfiles",
        "segment": "robench_plugins.attacks.poisoning.segment:Segment",
        "imported-profiles": "robench_plugins.attacks.poisoning.imported_profiles:ImportedProfiles",
        "copy-profile": "robench_plugins.attacks.poisoning.copy_profile:CopyProfile",
        "miars": "robench_plugins.attacks.membership.miars:Miars",
        "score-membership": "robench_plugins.attacks.membership.score_membership:ScoreMembership",
        "label-noise": "robench_plugins.attacks.corruption.label_noise:LabelNoise",
        "drop": "robench_plugins.attacks.corruption.drop:Drop",
        "cold-start": "robench_plugins.attacks.corruption.cold_start:ColdStart",
        "popularity-shift": "robench_plugins.attacks.corruption.popularity_shift:PopularityShift",
        "tail-drop": "robench_plugins.attacks.corruption.tail_drop:TailDrop",
        "end-drop": "robench_plugins.attacks.corruption.end_drop:EndDrop",
        "time-jitter": "robench_plugins.attacks.corruption.time_jitter:TimeJitter",
    }


@hookimpl
def robench_defenses() -> dict[str, str]:
    """Returns the built-in defences by name."""
    return {
        "none": "robench_plugins.defenses.none:NoDefense",
        "adversarial-training": "robench_plugins.defenses.adversarial_training:AdversarialTraining",
        "apr": "robench_plugins.defenses.apr:Apr",
        "amr": "robench_plugins.defenses.amr:Amr",
        "vat": "robench_plugins.defenses.vat:Vat",
        "trades": "robench_plugins.defenses.trades:Trades",
        "sam": "robench_plugins.defenses.sam:Sam",
        "gaussian": "robench_plugins.defenses.gaussian:Gaussian",
        "injection-filter": "robench_plugins.defenses.injection_filter:InjectionFilter",
        "delimiters": "robench_plugins.defenses.delimiters:Delimiters",
        "normalise": "robench_plugins.defenses.normalise:Normalise",
        "smoothing": "robench_plugins.defenses.smoothing:Smoothing",
        "denoise": "robench_plugins.defenses.denoise:Denoise",
        "dp-gram": "robench_plugins.defenses.privacy.dp_gram:DpGram",
        "dp-sgd": "robench_plugins.defenses.privacy.dp_sgd:DpSgd",
        "popularity-randomisation": "robench_plugins.defenses.privacy.popularity_randomisation:PopularityRandomisation",
        "degree-sad": "robench_plugins.defenses.detection.degree_sad:DegreeSad",
        "fap": "robench_plugins.defenses.detection.fap:Fap",
        "near-duplicate": "robench_plugins.defenses.detection.near_duplicate:NearDuplicate",
        "pca-varselect": "robench_plugins.defenses.detection.pca_varselect:PcaVarSelect",
    }


@hookimpl
def robench_metrics() -> dict[str, str]:
    """Returns the built-in metrics by name."""
    modules = ("ranking", "targets", "stability", "classification", "lists")
    ranking, targets, stability, classification, lists = (f"robench_plugins.metrics.{name}" for name in modules)
    return {
        "ndcg": f"{ranking}:Ndcg",
        "recall": f"{ranking}:Recall",
        "hr": f"{ranking}:HitRate",
        "precision": f"{ranking}:Precision",
        "mrr": f"{ranking}:Mrr",
        "map": f"{ranking}:Map",
        "t-hr": f"{targets}:TargetHitRate",
        "t-ndcg": f"{targets}:TargetNdcg",
        "t-percentile": f"{targets}:TargetPercentile",
        "rbo": f"{stability}:Rbo",
        "jaccard": f"{stability}:Jaccard",
        "accuracy": f"{classification}:Accuracy",
        "like-precision": f"{classification}:LikePrecision",
        "like-recall": f"{classification}:LikeRecall",
        "like-f1": f"{classification}:LikeF1",
        "coverage": f"{lists}:Coverage",
        "gini": f"{lists}:Gini",
        "list-popularity": f"{lists}:ListPopularity",
        "novelty": f"{lists}:Novelty",
        "diversity": f"{lists}:Diversity",
    }


@hookimpl
def robench_executors() -> dict[str, str]:
    """Returns the built-in executors by name."""
    return {"local": "robench_plugins.executors.local:Local", "dask": "robench_plugins.executors.dask:Dask"}
