"""Money is whole minor units with an ISO 4217 currency; a float cannot get in."""

import re
from dataclasses import dataclass

# Nine hundred trillion minor units: far above any recovery, and exactly what a JSON number holds without loss.
AMOUNT_MINOR_MAX = 2**53 - 1
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An amount in the smallest unit of its currency: ``Money(2500, "USD")`` is twenty-five dollars."""

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        """Refuse what is not a whole number of minor units or not a currency code."""
        if type(self.amount_minor) is not int:
            message = f"amount_minor must be an int, not {type(self.amount_minor).__name__}"
            raise TypeError(message)
        if abs(self.amount_minor) > AMOUNT_MINOR_MAX:
            message = "amount_minor is out of range"
            raise ValueError(message)
        if not _CURRENCY.fullmatch(self.currency):
            message = "currency must be three capital letters"
            raise ValueError(message)

    def as_json(self) -> dict[str, int | str]:
        """Return the form that the API and the books write."""
        return {"amount_minor": self.amount_minor, "currency": self.currency}


# ISO 4217, the currencies whose minor unit is not a hundredth. CLDR's digits are another thing: they say how a price
# is usually shown (0 for RSD, ALL, IQD...), and rounding by them would show 25.50 as 26.
_MINOR_DIGITS = {
    **dict.fromkeys(
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "UYI",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ],
        0,
    ),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
    **dict.fromkeys(["CLF", "UYW"], 4),
}


def minor_digits(currency: str) -> int:
    """Return how many decimal places of a currency its minor unit is: 2 for USD, 0 for JPY, 3 for KWD."""
    return _MINOR_DIGITS.get(currency, 2)
