# inputs: begin
$ComputerName = ''
$RequestFile = ''
# inputs: end
# A second request would make a second key, and leave the certificate that comes back without one.
function Step-MakeRequest {
    $Path = Join-Path -Path $PSScriptRoot -ChildPath $RequestFile
    if (Test-Path -LiteralPath $Path) {
        return ('{0} is there already' -f $RequestFile)
    }
    if (-not $PSCmdlet.ShouldProcess($ComputerName, 'Make a private key and a request')) {
        return ('{0} is not there yet' -f $RequestFile)
    }
    $Answer = @(certreq -new -q -machine (Join-Path -Path $PSScriptRoot -ChildPath 'request.inf') $Path) -join ' '
    if (-not (Test-Path -LiteralPath $Path)) {
        throw ('Windows made no request: {0}.' -f $Answer)
    }
    '{0} is made; its private key stays on {1}' -f $RequestFile, $ComputerName
}
