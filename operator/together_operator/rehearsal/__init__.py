"""What the operator would do, from its own decisions: the reconcilers run on ports that record.

Reads go to the real systems; what would be created or changed is only remembered, and shows in the
following reads. Time is the rehearsal's own, so that nothing has to be waited for.
"""

from together_operator.rehearsal.run import Forecast, Stage, rehearse
from together_operator.rehearsal.steps import Step

__all__ = ["Forecast", "Stage", "Step", "rehearse"]
