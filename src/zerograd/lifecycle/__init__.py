"""The life of a gradient between backward and step: what is done to it before the rule sees it."""
