# The seconds by which this clock is ahead of another computer's, or null. The web server there
# tells its time, to the second, with every answer; nothing is fetched from it.
function Get-ClockOffset {
    param([string]$Source)
    $Offset = $null
    $Client = [System.Net.Sockets.TcpClient]::new()
    try {
        if ($Source -and $Client.ConnectAsync($Source, 80).Wait(3000)) {
            $Said = Read-HttpDate -Client $Client -Source $Source
            if ($Said) {
                $Offset = [System.Math]::Round(([System.DateTimeOffset]::UtcNow - $Said).TotalSeconds, 1)
            }
        }
    }
    catch {
        Write-Warning ('{0} did not tell its time: {1}' -f $Source, $_.Exception.GetBaseException().Message)
    }
    finally {
        $Client.Dispose()
    }
    $Offset
}

# The time in the first answer of a web server, or nothing.
function Read-HttpDate {
    param($Client, [string]$Source)
    $Stream = $Client.GetStream()
    $Stream.ReadTimeout = 3000
    $Request = 'HEAD / HTTP/1.1{0}Host: {1}{0}Connection: close{0}{0}' -f [System.Environment]::NewLine, $Source
    $Bytes = [System.Text.Encoding]::ASCII.GetBytes($Request)
    $Stream.Write($Bytes, 0, $Bytes.Length)
    $Reader = [System.IO.StreamReader]::new($Stream)
    $Header = $Reader.ReadLine()
    while ($Header) {
        if ($Header -match '^Date: *(.+)$') {
            return [System.DateTimeOffset]::ParseExact($Matches[1].Trim(), 'r', [System.Globalization.CultureInfo]::InvariantCulture)
        }
        $Header = $Reader.ReadLine()
    }
}
