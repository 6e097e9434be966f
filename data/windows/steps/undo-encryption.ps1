# inputs: begin
$UndoGroups = @()
$UndoGroupIds = @()
# inputs: end
# part: before
# part: held
# part: certificate-in-use
# part: configurator
function Step-UndoEncryption {
    $Before = Get-Before
    foreach ($Group in $UndoGroups) {
        if (-not $Before.ContainsKey($Group)) {
            '{0} was not changed' -f $Group
            continue
        }
        Set-GroupCertificate -Group $Group -Id ($UndoGroupIds[[array]::IndexOf($UndoGroups, $Group)]) -Label $Before[$Group]
        if (-not $WhatIfPreference) {
            Remove-Before -What $Group
        }
    }
}
