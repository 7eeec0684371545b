from zerograd.hazards.hazard import Hazard

HAZARD = Hazard(
    code="ZG112",
    name="same-optimizer-twice",
    severity="warning",
    what="""
A call hands one optimizer to two parameters that are meant for two, while another optimizer stands by.
""",
    why="""
One network is stepped by the other's optimizer, which does not have its parameters: it never learns. Such a line is
made by copying and is easily overlooked.
""",
    example="""
def train(encoder_optimizer, decoder_optimizer):
    encoder_optimizer.step()
    decoder_optimizer.step()


opt_e, opt_d = make_optimizers()
train(opt_e, opt_e)
""",
    instead="""
def train(encoder_optimizer, decoder_optimizer):
    encoder_optimizer.step()
    decoder_optimizer.step()


opt_e, opt_d = make_optimizers()
train(opt_e, opt_d)
""",
)
