# The public names of robench.pretrained.

# Encoders: texts to vectors
from robench.pretrained.encoder import Encoder as Encoder
from robench.pretrained.weights import folder_of as folder_of

# Decoders: how likely a text is
from robench.pretrained.decoder import Decoder as Decoder
from robench.pretrained.decoder import Prefix as Prefix
from robench.pretrained.decoder import Soft as Soft
from robench.pretrained.gguf import decoder_folder as decoder_folder

# Weights of both
from robench.pretrained.weights import identity_of as identity_of

# Results that are computed once per machine
from robench.pretrained.cache import cache_folder as cache_folder
from robench.pretrained.cache import cached_array as cached_array
from robench.pretrained.cache import cached_array_path as cached_array_path
from robench.pretrained.cache import cached_folder as cached_folder
from robench.pretrained.cache import cached_notes as cached_notes
