"""The describer: referring expressions from annotations and pixels, checked to mean one person.

`observe` notes what is true, false or not known of everybody in a picture; `describe` puts facts
into words that are true of one person and clearly false of the others; `describe_nobody` makes
sentences that fit nobody. All of these are labelled synthetic; captions of people are not.
"""

from anypose.data.describe.mirror import mentions_position, mirror_words
from anypose.data.describe.observations import Observations, observe, observe_sample
from anypose.data.describe.phrases import own_facts, referent
from anypose.data.describe.sentences import Sentence, captions_as_sentences, describe, describe_nobody

__all__ = [
    "Observations",
    "Sentence",
    "captions_as_sentences",
    "describe",
    "describe_nobody",
    "mentions_position",
    "mirror_words",
    "observe",
    "observe_sample",
    "own_facts",
    "referent",
]
