"""The wrong programs that the guard does not name, and why: none of its four checks is about them."""

FRESH = "all gradients that the step uses are fresh; that one backward is missing, doubled or one too many is not seen"
BY_HAND = "gradients that are assigned by hand are nobody's business: evolution strategies, line searches"
UNUSED = "no backward and no step runs at all, or one step more with a backward of its own"
FOREIGN = "the gradients belong to a copy that no optimizer owns"
MOVED = "no step at all, but the weights are moved by hand after each backward, as in an update by hand"
SCHEDULE = "the gradients are right; the learning rate comes one step early"
FROZEN = "frozen at first, so its first steps rightly find nothing; that it is one behind shows in the last one only"
HANDLED = "each backward raises, and its gradients are cleared where the error is handled, which is right"
BRANCH = "a step that finds nothing now and then, between others that do, is taken for a flush"

MISSED = {
    "accumulation": {"dedent 19 loss.backward()": BRANCH},
    "attack": {
        f"{operator} 19 optimizer.zero_grad()": FRESH for operator in ("delete", "move first", "move last", "dedent")
    },
    "by_hand": {"move last 28 optimizer.step()": SCHEDULE},
    "declared": {"dedent 22 batches.backward(loss, n=len(x))": FRESH},
    "frozen": {"move first 24 body_optimizer.step()": FROZEN},
    "functional": {
        f"{operator} {line} optimizer.step()": BY_HAND
        for operator in ("delete", "move first", "dedent")
        for line in (19, 23)
    },
    "gan": {
        "delete 17 loss_real.backward()": FRESH,
        "delete 19 loss_fake.backward()": FRESH,
        "move last 20 optimizer_d.step()": FRESH,
    },
    "lbfgs": {f"{operator} 24 optimizer.step(closure)": UNUSED for operator in ("delete", "duplicate", "dedent")},
    "rebuilt": {"duplicate 22 loss.backward()": HANDLED},
    "sam": {
        **{
            f"{operator} 24 optimizer.zero_grad()": FRESH
            for operator in ("delete", "move first", "move last", "dedent")
        },
        "delete 30 optimizer.step()": MOVED,
    },
    "shared_memory": {
        "delete 25 local.zero_grad()": FOREIGN,
        "dedent 25 local.zero_grad()": FOREIGN,
        **{f"{operator} 30 optimizer.step()": BY_HAND for operator in ("delete", "dedent")},
    },
    "two_losses": {
        "delete 18 loss.backward(retain_graph=True)": FRESH,
        "duplicate 18 loss.backward(retain_graph=True)": FRESH,
        "delete 20 penalty.backward()": FRESH,
    },
}
"""Program -> mutant -> reason."""
