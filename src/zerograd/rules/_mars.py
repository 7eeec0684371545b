from zerograd.algebra import maximum, norm, start, wrapper


@wrapper
def mars(direction, g, previous_grad=start("g"), *, betas, gamma=0.025):
    """MARS: it hands a gradient with less variance to the rule, corrected by how it differs from the previous one.

    Algorithm
        c   = g_t + gamma * betas[0] / (1 - betas[0]) * (g_t - g_(t-1))
        c   = c / max(1, ||c||)                            per tensor; the rule gets c for g
    Hyper-parameters
        gamma: strength of the correction, 0.025.
    When to use
        Around Adam or Lion on matrices, with betas (0.95, 0.99) and lr 3e-3. Costs one more number a parameter.
    Reference
        Yuan and others 2024, arXiv 2411.10438 (the approximate form, MARS-approx).
    """
    c = g + gamma * betas[0] / (1 - betas[0]) * (g - previous_grad)
    return direction(c / maximum(1, norm(c))), g
