# inputs: begin
$ComputerName = ''
$RequestFile = ''
# inputs: end
# A second request would make a second key, and leave the certificate that comes back without one.
function Step-MakeRequest {
    $Path = Join-Path -Path $PSScriptRoot -ChildPath $RequestFile
    if (Test-Path -LiteralPath $Path) {
        return Get-Waiting -Path $Path
    }
    if (-not $PSCmdlet.ShouldProcess($ComputerName, 'Make a private key and a request')) {
        return ('{0} is not there yet' -f $RequestFile)
    }
    $New = '{0}.new' -f $Path
    [System.IO.File]::Delete($New)
    $Answer = @(certreq -new -q -machine (Join-Path -Path $PSScriptRoot -ChildPath 'request.inf') $New) -join ' '
    if (-not (Test-Path -LiteralPath $New)) {
        throw ('Windows made no request: {0}.' -f $Answer)
    }
    [System.IO.File]::Move($New, $Path)
    '{0} is made; its private key stays on {1}' -f $RequestFile, $ComputerName
}

# Tells of the private key that waits for the answer to a request: the request holds its public half.
function Get-Waiting {
    param([string]$Path)
    $Text = [System.IO.File]::ReadAllText($Path) -replace '-----[^-]+-----', '' -replace '\s', ''
    $Request = [System.BitConverter]::ToString([System.Convert]::FromBase64String($Text))
    foreach ($Store in @('REQUEST', 'My')) {
        try {
            $Held = @(Get-ChildItem -LiteralPath ('Cert:\LocalMachine\{0}' -f $Store))
        }
        catch {
            return ('{0} is there already; whether its private key waits could not be read: {1}' -f $RequestFile, $_.Exception.GetBaseException().Message)
        }
        foreach ($Certificate in $Held) {
            $Public = [System.BitConverter]::ToString($Certificate.PublicKey.EncodedKeyValue.RawData)
            if ($Certificate.HasPrivateKey -and $Request.Contains($Public)) {
                return ('{0} is there already, and its private key is in LocalMachine\{1}' -f $RequestFile, $Store)
            }
        }
    }
    throw ('{0} is there, but no private key on {1} belongs to it. What to do: delete {0}, then run this script again: it makes another key and another request.' -f $RequestFile, $ComputerName)
}
