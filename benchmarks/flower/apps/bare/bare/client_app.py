"""Answers with what it was sent."""

from flwr.app import Message
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train("exchange")
def train(message, context):
    return Message(message.content, reply_to=message)
