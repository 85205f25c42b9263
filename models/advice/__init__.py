"""Which method, backbone and image size to choose for given images: measured on them."""

from models.advice.advising import Advice, advise
from models.advice.candidates import Candidate
from models.advice.images import JudgedImages
from models.advice.rows import LeftOut, Row
from models.advice.verdict import Recommendation

__all__ = ["Advice", "Candidate", "JudgedImages", "LeftOut", "Recommendation", "Row", "advise"]
