# part: run

# steps: functions

$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0

try {
    # steps: run
}
finally {
    Invoke-Inventory
}
