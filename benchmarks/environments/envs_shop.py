"""A shop's service desk: orders that customers tell, that have to be found, or that were replaced by another."""

from __future__ import annotations

from calls import World


class Env(World):
    """Three kinds of requests, and tools that sound alike."""

    TYPES = ("cancel", "return", "redirect")
    TOOLS = {  # noqa: RUF012  # never written to
        "get_order": {"order": "W"},
        "get_customer": {"mail": "text"},
        "find_order": {"customer": "C", "item": "text"},
        "cancel_order": {"order": "W"},
        "return_order": {"order": "W"},
        "refund_order": {"order": "W"},
        "set_address": {"order": "W", "city": "text"},
        "finish": {},
    }

    def set_up(self, kind: str) -> str:
        """Make up a customer and orders."""
        names = ("mia", "jan", "ines", "otto", "lena", "emil")
        self.mail = f"{self.draw.choice(names)}{self.draw.randrange(100)}@example.org"
        self.item = self.draw.choice(("lamp", "chair", "kettle", "blanket", "mirror"))
        self.city = self.draw.choice(("Graz", "Lyon", "Turku", "Porto", "Ghent"))
        self.customer, self.told, self.other, self.right = (self.new(letter) for letter in "CWWW")
        if kind == "cancel":
            self.right = self.told
            self.texts = [self.mail]
            return f"I am {self.mail}. Please cancel my order {self.told}."
        if kind == "return":
            self.texts = [self.mail, self.item]
            return f"I am {self.mail}. I want to return the {self.item}; {self.told} is another order of mine."
        self.texts = [self.city, self.mail]
        return f"Order {self.told} was replaced by a new one. Send that to {self.city}. I am {self.mail}."

    def get_order(self, order: str) -> tuple[str, bool]:
        """Look an order up."""
        if order not in (self.told, self.other, self.right):
            return f"no order {order}", False
        if self.kind == "redirect" and order == self.told:
            return f"order {order} of {self.customer}: void, see {self.right}", True
        return f"order {order} of {self.customer}: open", True

    def get_customer(self, mail: str) -> tuple[str, bool]:
        """Look a customer up."""
        return (f"customer {self.customer}", True) if mail == self.mail else (f"no customer {mail}", False)

    def find_order(self, customer: str, item: str) -> tuple[str, bool]:
        """Find an order by what was bought."""
        if customer != self.customer:
            return f"no customer {customer}", False
        found = self.right if item == self.item else self.other
        return f"latest order with that: {found}", True

    def cancel_order(self, order: str) -> tuple[str, bool]:
        """Cancel an order."""
        return self._decide("cancel", order)

    def return_order(self, order: str) -> tuple[str, bool]:
        """Take an order back."""
        return self._decide("return", order)

    def refund_order(self, order: str) -> tuple[str, bool]:
        """Pay without taking anything back."""
        return self._decide("refund", order)

    def set_address(self, order: str, city: str) -> tuple[str, bool]:
        """Send an order elsewhere."""
        return self._decide("redirect", order, good=city == self.city)

    def _decide(self, what: str, order: str, *, good: bool = True) -> tuple[str, bool]:
        if order not in (self.told, self.other, self.right):
            return f"no order {order}", False
        return self.reach(right=good and what == self.kind and order == self.right)
