# inputs: begin
$Groups = @()
$GroupIds = @()
# inputs: end
# part: before
# part: held
# part: certificate-in-use
# part: configurator
function Step-UndoEncryption {
    $Before = Get-Before
    foreach ($Group in $Groups) {
        if (-not $Before.ContainsKey($Group)) {
            '{0} was not changed' -f $Group
            continue
        }
        Set-GroupCertificate -Group $Group -Id ($GroupIds[[array]::IndexOf($Groups, $Group)]) -Label $Before[$Group]
    }
}
