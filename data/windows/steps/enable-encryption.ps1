# inputs: begin
$ComputerName = ''
$Thumbprint = ''
$Groups = @()
$GroupIds = @()
$GroupReleases = @()
$Turns = @()
# inputs: end
# part: before
# part: held
# part: configurator
# part: own-turn
# Everything is looked at before the first group is switched: certificate, turn, groups, person.
function Step-EnableEncryption {
    Assert-Usable
    $Mine = Get-OwnTurn -Turns $Turns
    $Listed = Get-GroupList
    foreach ($Group in $Groups) {
        $Number = [array]::IndexOf($Groups, $Group)
        if ($Listed -notlike ('*{0}*' -f $GroupIds[$Number])) {
            throw ('Server Configurator does not list the group {0}, which exists since {1}. It lists: {2}' -f $Group, $GroupReleases[$Number], $Listed)
        }
    }
    Assert-Person
    Assert-Running
    foreach ($Group in $Groups) {
        $Number = [array]::IndexOf($Groups, $Group)
        if ($Turns[$Number] -eq $Mine) {
            Set-GroupCertificate -Group $Group -Id $GroupIds[$Number] -Label $Thumbprint
        }
    }
}

# Stops unless this computer holds the certificate with a key that opens, and trusts it itself.
function Assert-Usable {
    if (-not (Test-Path -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Thumbprint))) {
        throw ('{0} does not hold the certificate {1} yet. What to do: run install.ps1 without -Phase first.' -f $ComputerName, $Thumbprint)
    }
    if (-not (Test-Held -Label $Thumbprint)) {
        throw ('The private key of {0} on {1} is missing or does not open. What to do: run install.ps1 without -Phase, which brings it again; a key that was made here and is gone needs a new request.' -f $Thumbprint, $ComputerName)
    }
    if (-not (Test-Trusted -Label $Thumbprint)) {
        throw ('{0} does not trust the certificate {1} itself. What to do: run install.ps1 without -Phase first; if its CA is among the Untrusted Certificates, ask who barred it.' -f $ComputerName, $Thumbprint)
    }
}
