"""Names: what is an optimizer, what only has a method that is called step, and which calls change no gradient."""

from __future__ import annotations

import re
from functools import lru_cache

from zerograd.linting.patterns import pattern
from zerograd.stand_ins import Literal

CLASSES = frozenset(
    re.findall(
        r"\w+",
        """
    ASGD Adadelta Adafactor Adagrad Adam AdamW Adamax LBFGS Muon NAdam
    RAdam RMSprop Rprop SGD SparseAdam ADOPT LAMB Lamb Lion Prodigy
    ScheduleFreeAdamW AdamWScheduleFree SGDScheduleFree StableAdamW AdaBelief AdaBound AdamP SGDP LARS Lars
    Lookahead Ranger RangerLars Yogi NovoGrad MADGRAD DiffGrad QHAdam Shampoo FusedAdam
    FusedSGD FusedLAMB FusedNovoGrad BertAdam OpenAIAdam AdamW8bit Adam8bit Lion8bit PagedAdamW8bit DAdaptAdam
    DAdaptSGD Sophia SophiaG SOAP GaLoreAdamW CPUAdam DeepSpeedCPUAdam RMSpropTF NAdamW SAM
    GSAM
    """,
    )
)
"""Classes of optimizers that programs use by name."""

OPTIMIZER_NAME = pattern(r"(?:^|_)(?:optims?|optimi[sz]ers?|opts?)(?:[a-z]{0,2})?(?:_|\d|$)")
NOT_AN_OPTIMIZER = pattern(r"sched|hook|with_opt|scaler|warmup|annealer|(?:^|_)lrs?(?:_|$)|option|optimal|optional")

SCHEDULER = pattern(r"sched|warmup|anneal|decay")
OTHER_STEPPERS = pattern(
    r"sched|warmup|anneal|decay|(?:^|_)lrs?(?:_|\d|$)|(?:^|_)envs?(?:_|\d|$)|game|world|sim(?:ulator)?$|robot"
    r"|prof|tracer|meter|timer|clock|writer|logger|(?:^|_)p?bar$|progress|ema|swa|early|stopper|noise|scaler|diffusion"
    r"|averager|target|pipe|sampler|solver_step|walker|physics|gym|board|player|cell|lstm|gru|rnn|decoder|counter|metric|monitor|wandb"
)
"""Receivers whose ``step`` is not an optimizer's."""

MODULE_NAME = pattern(
    r"(?:^|_)(?:model|net|network|module|agent|policy|actor|critic|generator|discriminator|gan)\d*(?:_|$)"
)

OTHER_CLASSES = pattern(r"Scheduler|LR$|Scaler|Warmup(?!\w*Opt)|profile|Env$|Env[A-Z]|Meter|Writer|EMA")

HARMLESS = pattern(
    r"lr|learning_rate|sched|save|load|checkpoint|ckpt|log|print|state_dict|isinstance|issubclass|len|type|attr"
    r"|unscale|clip|scale_loss|warm|adjust|decay|prepare|str|repr|^id$|list|dict|zip|enumerate|tuple|^set|^get"
    r"|no_grad|enable_grad|set_grad|requires_grad|grad_norm|norm|inference|broadcast|freeze|eval|valid|test|infer"
    r"|toggle|assert|info|warn|debug|write|display|plot|draw|show|num_|count|summary|record|append|extend|format|join"
    r"|^add$|initialize|wandb|compile|wrap|cast|move|^to_|^to$|device|register|count|watch|add_scalar|metric|acc|item"
)
"""Calls that may be handed an optimizer and leave its gradients alone."""

TOUCHING = ("step", "zero", "update", "minimi", "backward", "clear", "reset", "sync", "accumul")
"""Parts of the names of methods with which an optimizer may change gradients or use them."""

STRONG = pattern(
    r"train|^fit|_fit|learn(?!er|ed|able|ing)|optimi[sz]e|backw|backprop|bwd|(?:^|_)steps?(?:_|$)|grad|closure"
    r"|minimi[sz]e|accumul|zero|propagate"
)
"""Calls that say themselves that they do something to gradients."""

WEAK = pattern(
    r"hooks?(?:_|$)|callback|dispatch|^run|_run|sync|engine|^on_|^before_|^after_|emit|fire|^call$|^trigger|^invoke"
    r"|^execute|_loop|loop_"
)
"""Calls that may do anything, if they can get at an optimizer."""

EXCHANGES = r"no_backward_sync|grad(?:ient)?_pen\w*|(?:scale|average|avg|reduce|sync\w*)_grad\w*"
"""Names that speak of gradients and neither make nor use them: processes exchange them, a loss has them in it."""

INNOCENT = pattern(
    r"grad(?:ient)?_clip|no_grad|enable_grad|set_grad|requires_grad|clip_grad|grad_norm|unscale|inference|zeros|learning_rate|is_grad"
    r"|log_|_log|print|_lr|lr_|train_test_split|train_loader|train_data|trainable|pretrain|get_|_iter|add_|^log|plot"
    r"|synchronize|gradient_checkpoint|tqdm|trange|display|write|save|load|range|format|callable|constraint|strain"
    r"|^accumulate$|meter|grad_scaler|gradscaler|eval|valid|test_step|nonzero|count_nonzero|no_sync|set_train|current_step"
    rf"|{EXCHANGES}|clip_|^optimizers?$|^toggle|^untoggle"
    r"|step_size|_mode$|register_(?:forward_|backward_|full_backward_)?hook|timestep|time_step|num_steps|n_steps"
)
"""The exceptions: such names sound like training and are none."""

REPORTERS = pattern(
    r"logger|writer|tracker|recorder|reporter|wandb|mlflow|tensorboard|(?:^|_)tb(?:_|$)|meter|metric|progress"
)
"""Receivers that only write down what they are told, whatever their methods are called."""

GRADIENT_HOOKS = pattern(r"register_step_p\w+_hook|register_post_accumulate_grad_hook|register_optimizer_step")


@lru_cache(maxsize=4096)
def snake(name: str) -> str:
    """optimizerD -> optimizer_d, OptG -> opt_g."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


@lru_cache(maxsize=4096)
def sounds_like_an_optimizer(name: str) -> bool:
    words = snake(name)
    return bool(OPTIMIZER_NAME.search(words)) and not NOT_AN_OPTIMIZER.search(words)


@lru_cache(maxsize=4096)
def steps_otherwise(name: str) -> bool:
    """Whether a receiver's ``step`` is surely none of an optimizer: a scheduler's, an environment's."""
    return bool(OTHER_STEPPERS.search(snake(name)))


@lru_cache(maxsize=4096)
def is_a_schedulers(name: str) -> bool:
    """Whether a step is a scheduler's: it changes rates, whatever it is handed."""
    return bool(SCHEDULER.search(snake(name)))


Suspicion = Literal["", "weak", "strong"]


@lru_cache(maxsize=4096)
def suspicion(name: str) -> Suspicion:
    """How likely an unknown callee of this name runs backward, steps or clears."""
    words = snake(name)
    if INNOCENT.search(words):
        return ""
    return "strong" if STRONG.search(words) else "weak" if WEAK.search(words) else ""


@lru_cache(maxsize=4096)
def only_reports(name: str) -> bool:
    """Whether a receiver only writes down what it is told."""
    return bool(REPORTERS.search(snake(name)))


@lru_cache(maxsize=4096)
def is_harmless(name: str) -> bool:
    """Whether an unknown callee of this name leaves the gradients of an optimizer alone that it is handed."""
    return bool(HARMLESS.search(snake(name)))


def makes_another_thing(dotted: list[str]) -> bool:
    """Whether the callee ``a.b.C`` surely gives none: ``lr_scheduler.ReduceLROnPlateau``."""
    return bool(OTHER_CLASSES.search(dotted[-1])) or "lr_scheduler" in dotted[:-1]


def makes_an_optimizer(dotted: list[str]) -> bool:
    """Whether the callee ``a.b.C`` gives back an optimizer."""
    last = dotted[-1]
    if makes_another_thing(dotted):
        return False
    if last in CLASSES:
        return True
    if last[:1].isupper():
        return bool({"optim", "torch_optimizer", "zerograd"} & set(dotted[:-1])) or bool(
            re.search(r"Optim(?:i[sz]er)?$|Opt$", last)
        )
    words = snake(last)
    return bool(re.search(r"optimi[sz]ers?(?:_|$)|(?:^|_)optim(?:_|$)", words)) and not NOT_AN_OPTIMIZER.search(words)
