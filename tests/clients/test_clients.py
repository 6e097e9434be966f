"""The table of what clients do is true of those that are quick to ask, and each family has a voice."""

import shutil

import pytest
from chains import AT
from served import MADE, PLANS

from clients.measure import differences
from vmscert.facts import facts
from vmscert.findings import clients, finding_of
