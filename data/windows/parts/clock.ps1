# The seconds by which this clock is ahead of another computer's, or nothing when that one does not
# answer: any web server says the time in the Date line of its answer.
function Get-ClockOffset {
    param([string]$Source)
    $Client = [System.Net.Sockets.TcpClient]::new()
    try {
        if (-not $Source -or -not $Client.ConnectAsync($Source, 80).Wait(3000)) {
            return
        }
        $Stream = $Client.GetStream()
        $Stream.ReadTimeout = 3000
        $Question = [System.Text.Encoding]::ASCII.GetBytes(('HEAD / HTTP/1.0{0}{1}{0}{1}' -f [char]13, [char]10))
        $Stream.Write($Question, 0, $Question.Length)
        $Answer = [System.IO.StreamReader]::new($Stream).ReadToEnd()
        if ($Answer -match '(?m)^Date: (.+?)\s*$') {
            $There = [System.DateTimeOffset]::Parse($Matches[1], [System.Globalization.CultureInfo]::InvariantCulture)
            [System.Math]::Round(([System.DateTimeOffset]::UtcNow - $There).TotalSeconds)
        }
    }
    catch {
        Write-Verbose ('{0} did not tell the time: {1}' -f $Source, $_.Exception.Message)
    }
    finally {
        $Client.Dispose()
    }
}
