# inputs: begin
$CaFiles = @()
$CaThumbprints = @()
# inputs: end
# part: before
# part: store
# part: used-below
# A CA stays while something here may use a certificate that it issued.
function Step-UndoTrust {
    $Before = Get-Before
    $Ours = @($CaThumbprints | Where-Object -FilterScript { $Before[('Root {0}' -f $_)] -eq 'absent' })
    if ($Ours.Count -gt 0 -and -not $WhatIfPreference) {
        foreach ($Used in @(Get-UsedBelow -Carried $CaFiles -Labels $Ours -ByHand @($ByHand.Split(',').Trim()))) {
            throw ('The CA stays, since {0}, which it issued, may be in use.' -f $Used)
        }
    }
    foreach ($Label in $CaThumbprints) {
        Remove-FromStore -Store 'Root' -Label $Label
    }
}
