//! Rooms, participants, publications and subscriptions; knows no wire format.
