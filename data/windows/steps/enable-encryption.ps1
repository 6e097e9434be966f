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
# part: certificate-in-use
# part: configurator
# The exit code is not believed: what the servers use is read back.
function Step-EnableEncryption {
    if (-not (Test-Trusted -Label $Thumbprint)) {
        throw ('{0} does not hold the certificate {1} with its private key, or does not trust it.' -f $ComputerName, $Thumbprint)
    }
    $Listed = Get-GroupList
    foreach ($Group in $Groups) {
        $Number = [array]::IndexOf($Groups, $Group)
        if ([int]$Turns[$Number] -ne $Turn) {
            continue
        }
        if ($Listed -notlike ('*{0}*' -f $GroupIds[$Number])) {
            throw ('Server Configurator does not list the group {0}, which exists since {1}. It lists: {2}' -f $Group, $GroupReleases[$Number], $Listed)
        }
        Set-GroupCertificate -Group $Group -Id $GroupIds[$Number] -Label $Thumbprint
    }
}
