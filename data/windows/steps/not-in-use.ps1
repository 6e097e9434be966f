# inputs: begin
$Thumbprint = ''
$CaFiles = @()
$CaThumbprints = @()
# inputs: end
# part: before
# part: used-below
# Looks before anything is taken away. A CA stays while something here may use a certificate that it
# issued, and the certificate while something may use it; what was here before install.ps1 stays anyway.
function Step-NotInUse {
    $Before = Get-Before
    $Seen = @($ByHand.Split(',').Trim())
    $Brought = $Before[('My {0}' -f $Thumbprint)] -eq 'absent' -or @($Before.Keys | Where-Object -FilterScript { $_ -like 'Reader *' }).Count -gt 0
    if ($Thumbprint -and $Brought -and (Test-Path -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Thumbprint))) {
        $Users = @(Get-UserOf -Label $Thumbprint -ByHand $Seen)
        if ($Users.Count -gt 0) {
            throw ('{0} stays, and so does its CA, since it may be in use: {1}.' -f $Thumbprint, ($Users -join '; '))
        }
    }
    $Ours = @($CaThumbprints | Where-Object -FilterScript { $Before[('Root {0}' -f $_)] -eq 'absent' })
    if ($Ours.Count -gt 0) {
        foreach ($Used in @(Get-UsedBelow -Carried $CaFiles -Labels $Ours -ByHand $Seen)) {
            throw ('The CA stays, since {0}, which it issued, may be in use.' -f $Used)
        }
    }
    'nothing here uses what is to go. Not seen from here: whether another server that this computer calls still has a certificate of this CA; the plan says when it is the turn of this computer'
}
