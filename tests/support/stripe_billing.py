"""What the Stripe double knows of payers: customers, checkout and the billing portal; it charges nobody.

It joins the double by `routes`; how the double fails is in `stripe_double`.
"""

from collections.abc import Mapping

from tests.support.stripe_book import Object
from tests.support.stripe_double import Refused, Route, StripeDouble


def create_customer(double: StripeDouble, form: Mapping[str, str], _: str) -> Object:
    if "@" not in form.get("email", ""):
        raise Refused("Invalid email address.", code="email_invalid")
    metadata = {"user_id": form["metadata[user_id]"]}
    customer_id = double.book.new_id("cus")
    return double.book.put(
        "customer", {"id": customer_id, "object": "customer", "email": form["email"], "metadata": metadata}
    )


def create_checkout(double: StripeDouble, form: Mapping[str, str], _: str) -> Object:
    _known(double, form["customer"])
    if not form.get("line_items[0][price]", "").startswith("price_"):
        raise Refused("No such price.", code="resource_missing")
    session_id = double.book.new_id("cs")
    return double.book.put(
        "checkout_session",
        {
            "id": session_id,
            "object": "checkout.session",
            "url": f"https://checkout.stripe.example/{session_id}",
            "form": dict(form),
        },
    )


def create_portal(double: StripeDouble, form: Mapping[str, str], _: str) -> Object:
    _known(double, form["customer"])
    session_id = double.book.new_id("bps")
    return {"id": session_id, "url": f"https://billing.stripe.example/{session_id}"}


def _known(double: StripeDouble, customer_id: str) -> None:
    if double.book.get("customer", customer_id) is None:
        raise Refused(f"No such customer: '{customer_id}'", code="resource_missing")


BILLING_ROUTES: list[Route] = [
    ("POST", r"/v1/customers", create_customer),
    ("POST", r"/v1/checkout/sessions", create_checkout),
    ("POST", r"/v1/billing_portal/sessions", create_portal),
]
