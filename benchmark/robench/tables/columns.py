"""The columns of the CSV files: a contract with everybody who reads them (design A7)."""

from __future__ import annotations

_CELLS = (
    "suite,cell,victim,dataset,split,model,model_label,defense,defense_label,lambda,train_epsilon,attack,attack_label,"
    "stage,surface,norm,scale,goal,k,epsilon,achieved_epsilon,adaptive,target_set,seed,status,metric,metric_version,"
    "value"
)
_LEADERBOARD = (
    "rank,rank_low,rank_high,dataset,split,surface,stage,norm,scale,goal,k,epsilon,metric,model,model_label,defense,"
    "defense_label,lambda,train_epsilon,attack_set,adaptive,clean,clean_low,clean_high,worst,worst_low,worst_high,"
    "drop,p_value,flags,seeds,users"
)
_TIMINGS = "cell,victim,model_label,defense_label,lambda,attack_label,epsilon,seed"
CELLS, LEADERBOARD = _CELLS.split(","), _LEADERBOARD.split(",")
_READ = "fit_texts,fit_tokens,texts,tokens,written"
TIMINGS = [*_TIMINGS.split(","), "status", "seconds", "fit_seconds", "peak_memory_mib", *_READ.split(",")]
