# The turn that was asked for, out of those that this computer has.
function Get-OwnTurn {
    param([string[]]$Turns)
    $Known = @($Turns | Sort-Object -Unique)
    $Wanted = [string][System.Math]::Max(1, $Turn)
    if (($Turn -eq 0 -and $Known.Count -gt 1) -or $Known -notcontains $Wanted) {
        throw ('{0} has these turns: {1}. What to do: write -Turn with the number that the plan names.' -f $ComputerName, ($Known -join ', '))
    }
    $Wanted
}
