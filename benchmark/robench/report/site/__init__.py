"""The start page of a site of many boards."""

from robench.report.site.card import Card, build_card, order_cards
from robench.report.site.start import to_catalogue, to_start_page

__all__ = ["Card", "build_card", "order_cards", "to_catalogue", "to_start_page"]
